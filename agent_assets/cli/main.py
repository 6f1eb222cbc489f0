"""`agent-assets ...`: what is done from a terminal. Each command is a few lines over the room that
does the work.
"""

import sys
from typing import NoReturn

import click

from agent_assets.backup import commands as backup
from agent_assets.cli import (
    agents,
    automation,
    bases,
    erasure,
    installation,
    mcp,
    releases,
    serving,
)
from agent_assets.errors import AgentAssetsError
from agent_assets.export import commands as export
from agent_assets.no_telemetry import send_nothing
from agent_assets.privacy import be_private
from agent_assets.settings import enter_project
from agent_assets.store.disk import disk_failure


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="agent-assets")
def commands() -> None:
    """Train, evaluate and serve agents from people's memories and MCP tools."""
    be_private()
    send_nothing()
    enter_project()


for group in (
    installation,
    serving,
    automation,
    erasure,
    agents,
    bases,
    mcp,
    releases,
    backup,
    export,
):
    for command in group.COMMANDS:
        commands.add_command(command)


def main() -> None:
    """Run a command; an expected error is one line on standard error and exit code 1, never a
    traceback.
    """
    try:
        commands()
    except AgentAssetsError as error:
        _fail(error)
    except OSError as error:
        known = disk_failure(error)
        if known is None:
            raise
        _fail(known)


def _fail(error: AgentAssetsError) -> NoReturn:
    click.echo(f"error: {error.message}", err=True)
    if error.next_step:
        click.echo(f"next:  {error.next_step}", err=True)
    sys.exit(1)
