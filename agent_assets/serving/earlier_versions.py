"""What versions before this one left open in an installation, closed once."""

from collections.abc import Iterator

from agent_assets.runs.history_secrets import remove_old_secrets
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.settings import Settings


def close_what_earlier_versions_left(settings: Settings) -> Iterator[str]:
    """Take passwords out of Dagster's history and seal tokens; what was closed, in words for an
    operator.

    Raises:
        MongoUnavailable: the tokens cannot be read or written.
    """
    if count := remove_old_secrets(settings):
        yield f"passwords in {count} entries of Dagster's history; change those passwords"
    if ids := seal_older_tokens(settings):
        yield (
            f"tokens, which anyone who reached MongoDB could make; sealed now: {', '.join(ids)}. "
            "End those you do not know with `agent-assets token revoke`"
        )


def seal_older_tokens(settings: Settings) -> list[str]:
    """Seal tokens that are not sealed yet; their ids.

    Raises:
        MongoUnavailable: the tokens cannot be read or written.
    """
    tokens = Tokens(settings.mongodb_uri or "", settings, DATABASE)
    try:
        return tokens.seal_older()
    finally:
        tokens.close()
