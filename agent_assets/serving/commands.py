"""`agent-assets token ...`."""

import click

from agent_assets.errors import ServingError
from agent_assets.runs.installation import mongodb
from agent_assets.serving.tokens import DATABASE, Scope, Tokens
from agent_assets.settings import Settings


def print_new_token(
    settings: Settings, scope: Scope, elder: str | None, name: str, days: float | None
) -> int:
    """Make a token and print it: the only time it can be seen."""
    with mongodb(settings) as environment:
        tokens = Tokens(environment["MONGODB_URI"], settings, DATABASE)
        first = not tokens.any()
        click.echo(tokens.create(scope, elder=elder, name=name, days=days))
        tokens.close()
    click.echo("Keep it: only its hash is stored.", err=True)
    if first:
        click.echo("It is the first: from now on every request needs a token.", err=True)
    return 0


def print_tokens(settings: Settings) -> int:
    """Print all tokens without their secrets."""
    with mongodb(settings) as environment:
        tokens = Tokens(environment["MONGODB_URI"], settings, DATABASE)
        for token in tokens.all():
            until = f"until {token['expires_at']:%Y-%m-%d}" if token["expires_at"] else ""
            state = (
                "revoked"
                if token["revoked_at"]
                else until
                if token["believed"]
                else "not made here: refused"
            )
            who = token["elder"] or token["scope"]
            click.echo(
                f"{token['_id']}  {who}  {token['created_at']:%Y-%m-%d}  {token['name']}  "
                f"{state}".rstrip()
            )
        tokens.close()
    return 0


def end_token(settings: Settings, number: str) -> int:
    """End a token.

    Raises:
        ServingError: there is none of that id.
    """
    with mongodb(settings) as environment:
        tokens = Tokens(environment["MONGODB_URI"], settings, DATABASE)
        done = tokens.revoke(number)
        tokens.close()
    if not done:
        raise ServingError(
            "There is no valid token of that id.", next_step="`agent-assets token list` names them."
        )
    click.echo(f"{number} is revoked")
    return 0
