"""`agent-assets data`: a table of all agents, filtered, shown or written to a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_assets.data import Table, table, write_table
from agent_assets.errors import ConfigError
from agent_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 50  # lines of a table
_WIDEST = 60  # characters of a column


def show_table(settings: Settings, name: Table, where: str | None, file: Path | None) -> None:
    """Print a table, or write it to `file`.

    Args:
        where: a query of pandas; None takes every line.

    Raises:
        ConfigError: the query or the file is wrong.
    """
    frame = table(name, settings)
    if where is not None and not frame.empty:
        frame = filtered(frame, where)
    if file is not None:
        write_table(frame, file)
        click.echo(f"{len(frame)} lines of {name} in {file}")
        return
    if not frame.empty:
        text = frame.head(SHOWN).to_string(index=False, max_colwidth=_WIDEST)
        click.echo(text)
    more = f", the first {SHOWN} shown; --to FILE writes all" if len(frame) > SHOWN else ""
    click.echo(f"{len(frame)} lines{more}", err=True)


def filtered(frame: "pd.DataFrame", where: str) -> "pd.DataFrame":
    """The lines that a query of pandas selects.

    Raises:
        ConfigError: it is none, or names a column that there is not.
    """
    try:
        # numexpr, where it is installed, does not know texts.
        return frame.query(where, engine="python")
    except (NameError, SyntaxError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{where!r} does not filter this table: {error}.",
            next_step=f"compare columns, as in \"kind == 'tool'\": {', '.join(frame.columns)}.",
        ) from None
