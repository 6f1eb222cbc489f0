"""System prompts: fixed for a tool agent; for an elder, made from who they are (never from what
they told).
"""

from bisect import bisect_right
from collections.abc import Mapping

from agent_assets.conversations.memories import ElderProfile
from agent_assets.errors import ConfigError
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.own_words import own_words
from agent_assets.text.token_counts import approximate_text_tokens

MAX_TRAIT_TOKENS = 400  # of all traits together: every row and every answer carries the prompt
_END = ".。 "


def elder_prompt(profile: ElderProfile, template: str | None = None) -> str:
    """The system prompt of one elder; equal profiles give equal prompts.

    Args:
        template: with the slots `{name}` and `{traits}`; None is ours, in the elder's language if
            it has phrases.

    Raises:
        ConfigError: the template has another slot.
    """
    phrases = rules_for(profile.language).phrases
    texts = {
        name: text
        for name in phrases.traits
        if (text := " ".join(profile.traits.get(name, "").split()))
    }
    room = _room({name: approximate_text_tokens(text) for name, text in texts.items()})
    parts = [
        phrases.traits[name].format(_ended_by(phrases.traits[name], trait))
        for name, text in texts.items()
        if (trait := _cut(text, room[name], profile.language))
    ]
    space = phrases.sentence_space
    traits = space.join(parts) + (space if parts else "")
    try:
        slots = {"name": _short(profile.name, 40), "traits": traits}
        return (template or phrases.system_prompt).format_map(slots).strip()
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigError(
            f"The system prompt of the pipeline has a slot it must not have ({error}).",
            next_step="use {name} and {traits} only.",
        ) from None


def _room(tokens: Mapping[str, float]) -> dict[str, float]:
    """Tokens that each trait may have: short ones all they need, long ones equal parts of what is
    left.
    """
    left, room = float(MAX_TRAIT_TOKENS), {}
    for number, name in enumerate(sorted(tokens, key=lambda name: tokens[name])):
        room[name] = min(tokens[name], left / (len(tokens) - number))
        left -= room[name]
    return room


def _cut(text: str, room: float, language: LanguageCode) -> str:
    """A trait in full, or as many whole sentences or clauses of it as it has room for."""

    def start(words: int) -> str:
        return own_words(text, language=language, max_words=words)

    def tokens_of(words: int) -> float:
        return approximate_text_tokens(start(words))

    # More words never make fewer tokens: the last number of words that fits is the one.
    words = bisect_right(range(1, len(text) + 1), room, key=tokens_of)
    return start(words) if words else ""


def _ended_by(sentence: str, trait: str) -> str:
    """The trait as it stands in a sentence, which may end it."""
    return trait.rstrip(_END) if sentence[-1] in _END else trait


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
