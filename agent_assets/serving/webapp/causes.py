"""Why an agent is stale, for people: counts of memories, never their content."""

import re

from agent_assets.planning.asset_partitions import Cause, CauseKind
from agent_assets.reviews.decisions import decisions_count
from agent_assets.serving.webapp.words import Words

_CHANGE = re.compile(r"(\d+) (?:memory |memories )?(added|edited|removed)")
_INPUTS = {
    "mongodb": "memories",
    "elder_memories": "memories",
    "servers": "tools",
    "mcp_tool_schema": "tools",
    "weights": "base",
    "base_model": "base",
}


def causes_in_words(words: Words, causes: tuple[Cause, ...], *, shared: bool = False) -> list[str]:
    """One sentence for each thing that changed, each once.

    Args:
        shared: of what all agents of a pipeline share: it may never have been built.
    """
    return list(dict.fromkeys(_in_words(words, cause, shared=shared) for cause in causes))


def _in_words(words: Words, cause: Cause, *, shared: bool) -> str:
    if cause.kind is CauseKind.CODE:
        return words("cause.code")
    if cause.kind is CauseKind.CONFIG:
        return words("cause.config")
    if cause.kind is CauseKind.MISSING:
        never = shared and cause.detail == "never built"
        return words("cause.never" if never else "cause.missing")
    if cause.input == "reviews":
        return _reviews(words, cause)
    kind = _INPUTS.get(cause.input or "", "other")
    changes = [
        words.count(f"cause.{change}", int(count))
        for count, change in _CHANGE.findall(cause.detail)
    ]
    if "profile changed" in cause.detail:
        changes.append(words("cause.profile"))
    if kind == "memories" and changes:
        return words("cause.join").join(changes)
    return words(f"cause.{kind}")


def _reviews(words: Words, cause: Cause) -> str:
    more = decisions_count(cause.new) - decisions_count(cause.old)
    return words.count("cause.reviews", more) if more > 0 else words("cause.reviews_changed")
