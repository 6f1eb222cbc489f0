"""The one option of a benchmark."""

import argparse


def is_quick(description: str | None, meaning: str) -> bool:
    """Whether `--quick` was given.

    Args:
        meaning: what it leaves out, for the help.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=meaning)
    return bool(parser.parse_args().quick)
