"""Work of a stage that was killed."""

from pathlib import Path


def resume_folder(staged: Path) -> Path:
    """Where a stage that was killed finds its work again: beside its staged folder, named by the
    same fingerprint.

    It is a temporary folder of the store like the staged one, and goes with those when nobody comes
    back for it.
    """
    stage, fingerprint = staged.name.split("-")[:2]
    return staged.with_name(f"{stage}-{fingerprint}-resume")
