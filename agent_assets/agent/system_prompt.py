"""System prompts: fixed for a tool agent; for an elder, made from who they are (never from what
they told).
"""

from agent_assets.conversations.memories import ElderProfile
from agent_assets.errors import ConfigError
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.own_words import own_words

MAX_TRAIT_WORDS = 30  # every row and every answer carries the prompt: all traits are 300 tokens
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
    parts = [
        sentence.format(_trait(text, sentence, profile.language))
        for name, sentence in phrases.traits.items()
        if (text := profile.traits.get(name, "").strip())
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


def _trait(text: str, sentence: str, language: LanguageCode) -> str:
    """A trait in full, or as many whole sentences or clauses of it as a prompt has room for. The
    sentence around it ends it.
    """
    text = own_words(text, language=language, max_words=MAX_TRAIT_WORDS)
    return text.rstrip(_END) if sentence[-1] in _END else text


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
