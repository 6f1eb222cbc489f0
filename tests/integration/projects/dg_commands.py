"""Commands of `dg` in one process, which imports Dagster once: `dg_commands.py COMMANDS` runs those
of a JSON list, each a list of arguments, and prints each with its exit code.
"""

import json
import sys

import click
from dagster_dg_cli.cli import create_dg_cli

cli: click.Group = create_dg_cli()
for arguments in json.loads(sys.argv[1]):
    try:
        code = cli.main(arguments, prog_name="dg", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as error:
        code = error.code
    print(f"== {' '.join(arguments)}: {code}", flush=True)
