"""The HTTP API, its tokens, and the Dagster UI behind its guard."""

import math
import sys

import click

from agent_assets.settings import load_settings

_PORT = click.IntRange(1, 65_535)
_DAYS = click.FloatRange(0, 36_500, min_open=True)


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Other addresses need a token to exist."
)
@click.option("--port", type=_PORT, default=8000, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve released agents over HTTP; `up` does this, too. The model server starts with the first
    answer.
    """
    from agent_assets.serving.run import serve_api

    sys.exit(serve_api(load_settings(), host=host, port=port))


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Other addresses need a token to exist."
)
@click.option("--port", type=_PORT, default=3000, show_default=True)
def ui(host: str, port: int) -> None:
    """Serve the Dagster UI behind its guard, beside a code server; `up` does this, too."""
    from agent_assets.serving.ui.run import run_ui

    sys.exit(run_ui(load_settings(), host=host, port=port))


@click.command("code-server")
def code_server() -> None:
    """Serve the code, and execute runs, where containers or systemd start each service apart. `up`
    starts all of them.
    """
    from agent_assets.services_apart import become_code_server

    become_code_server(load_settings())


@click.command()
def daemon() -> None:
    """Run Dagster's daemon beside a code server that was started apart. `up` does this, too."""
    from agent_assets.services_apart import become_daemon

    become_daemon(load_settings())


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    import json

    from agent_assets.serving.app import openapi_document

    click.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


@click.group()
def token() -> None:
    """Bearer tokens of the HTTP API. Once one exists, every request needs one."""


@token.command("create")
@click.option("--elder", help="It reaches this elder alone.")
@click.option("--admin", is_flag=True, help="It may do everything.")
@click.option("--read", is_flag=True, help="It may look, and do nothing.")
@click.option("--name", default="", help="Whose it is, for the list.")
@click.option("--days", type=_DAYS, help="How long it lives. Default: until it is revoked.")
def create_token(elder: str | None, admin: bool, read: bool, name: str, days: float | None) -> None:
    """Make a token and print it, once."""
    from agent_assets.serving.commands import print_new_token

    if days is not None and math.isnan(days):
        raise click.UsageError("--days is not a number.")
    if (elder is not None) + admin + read != 1:
        raise click.UsageError("give one of --elder, --admin, --read.")
    scope = "elder" if elder is not None else "admin" if admin else "read"
    sys.exit(print_new_token(load_settings(), scope, elder, name, days))  # type: ignore[arg-type]


@token.command("list")
def list_tokens() -> None:
    """List tokens, without their secrets."""
    from agent_assets.serving.commands import print_tokens

    sys.exit(print_tokens(load_settings()))


@token.command("revoke")
@click.argument("token_id")
def revoke_token(token_id: str) -> None:
    """End a token, named by its id."""
    from agent_assets.serving.commands import end_token

    sys.exit(end_token(load_settings(), token_id))


COMMANDS = (serve, ui, code_server, daemon, openapi, token)
