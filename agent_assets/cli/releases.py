"""Who is released, and deciding otherwise by hand."""

import sys

import click

from agent_assets.settings import load_settings


@click.command()
@click.argument("agent", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def releases(agent: str | None, as_json: bool) -> None:
    """List who is released; of AGENT (an elder, a pipeline, or `pipeline/elder`) the history and
    the verdicts.
    """
    from agent_assets.release.commands import show_releases

    sys.exit(show_releases(load_settings(), agent, as_json=as_json))


@click.command()
@click.argument("agent")
@click.option(
    "--to",
    "to",
    help="Version or name (or the beginning of one). Default: the release before this one.",
)
@click.option("--author", help="Who decides. Default: the user of this terminal.")
@click.option(
    "--reason", default="rolled back by hand", show_default=True, help="Why, for the history."
)
def rollback(agent: str, to: str | None, author: str | None, reason: str) -> None:
    """Let an earlier release of AGENT answer again, at once: nothing is trained, nothing is
    restarted.
    """
    from agent_assets.release.commands import roll_back

    sys.exit(roll_back(load_settings(), agent, to=to, author=author, reason=reason))


@click.command()
@click.argument("agent")
@click.argument("version")
@click.option("--author", help="Who decides. Default: the user of this terminal.")
@click.option("--reason", required=True, help="Why, for the history.")
def promote(agent: str, version: str, author: str | None, reason: str) -> None:
    """Release VERSION of AGENT against the verdict of the gate; author and reason stay in the
    history.
    """
    from agent_assets.release.commands import promote_version

    sys.exit(promote_version(load_settings(), agent, version, author=author, reason=reason))


@click.command()
def repair() -> None:
    """Write lost or damaged release pointers and tombstones anew, as each night does."""
    from agent_assets.release.commands import repair_installation

    sys.exit(repair_installation(load_settings()))


COMMANDS = (releases, rollback, promote, repair)
