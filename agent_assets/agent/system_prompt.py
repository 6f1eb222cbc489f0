"""System prompts: fixed for a tool agent; for an elder, made from who they are (never from what they told)."""

from agent_assets.conversations.memories import ElderProfile
from agent_assets.errors import ConfigError

_TEMPLATE = {
    "en": "You are {name}. {traits}Answer in the first person, only what you told. [] means never told.",
    "zh": "你是{name}。{traits}用“我”回答，只说讲过的事。[]表示没讲过。",
}
_TRAITS = {
    "en": {
        "personality": "You are {}.",
        "hobby": "You like {}.",
        "catchphrase": 'You like to say: "{}"',
        "life_motto": 'Your motto: "{}"',
    },
    "zh": {
        "personality": "性格：{}。",
        "hobby": "爱好：{}。",
        "catchphrase": "常说：{}",
        "life_motto": "座右铭：{}",
    },
}
MAX_TRAIT_CHARS = {"en": 60, "zh": 14}


def elder_prompt(profile: ElderProfile, template: str | None = None) -> str:
    """The system prompt of one elder; equal profiles give equal prompts.

    Args:
        template: with the slots `{name}` and `{traits}`; None is ours, in the elder's language.

    Raises:
        ConfigError: the template has another slot.
    """
    language = profile.language if profile.language in _TEMPLATE else "en"
    parts = [
        words.format(_short(profile.traits[name], MAX_TRAIT_CHARS[language]))
        for name, words in _TRAITS[language].items()
        if profile.traits.get(name, "").strip()
    ]
    space = " " if language == "en" else ""
    traits = space.join(parts) + (space if parts else "")
    try:
        slots = {"name": _short(profile.name, 40), "traits": traits}
        return (template or _TEMPLATE[language]).format_map(slots).strip()
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigError(
            f"The system prompt of the pipeline has a slot it must not have ({error}).",
            next_step="use {name} and {traits} only.",
        ) from None


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
