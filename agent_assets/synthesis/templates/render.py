"""Question templates of a tool: which of them are unseen, and their slots filled as people say
things.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.tools import argument_schemas, required_arguments
from agent_assets.errors import ConfigError
from agent_assets.synthesis.arguments.from_memories import MemorySource
from agent_assets.synthesis.arguments.json_schema import date_ranges
from agent_assets.synthesis.arguments.pool import Pool
from agent_assets.synthesis.wordings import (
    ParameterHints,
    TemplatesFile,
    ToolTemplates,
)
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.seeds import short_hash, stable_hash

DAY, ARGUMENTS, TASK = "day", "arguments", "task"
MIN_UNSEEN = 2
_BARE = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class QuestionTemplate:
    """One question template.

    Args:
        id: stable, a hash of tool, language and text.
        arguments: the arguments it asks for; None takes whatever was sampled (words made from a
            schema).
        one_day: it asks for a single day.
        seen: training uses it; otherwise only held-out items do.
    """

    id: str
    text: str
    arguments: frozenset[str] | None
    one_day: bool
    seen: bool = field(default=True)


def tool_templates(
    templates: TemplatesFile, tool: ToolSchema, language: LanguageCode, *, unseen_share: float
) -> list[QuestionTemplate]:
    """The wordings of the file for a tool, in file order, each marked seen or unseen; empty when
    there are none.

    Raises:
        ConfigError: a template has a slot the tool has no parameter for, or misses a required one.
    """
    texts = list(
        dict.fromkeys(templates.tools.get(tool.name, ToolTemplates()).language(language).questions)
    )
    unsplit = [_template(tool, language, text) for text in texts]
    return split_templates(unsplit, key=f"{tool.name}|{language}", unseen_share=unseen_share)


def split_templates(
    templates: Sequence[QuestionTemplate], *, key: str, unseen_share: float
) -> list[QuestionTemplate]:
    """Mark wordings as seen or unseen: the share of them with the lowest hashes of their texts is
    unseen.

    At least two are unseen. Always seen are a wording that is nothing but a slot, and of each set
    of arguments the wording with the highest hash: every set is trained.
    """
    in_order = sorted(templates, key=lambda template: stable_hash("unseen", key, template.text))
    groups: dict[Any, QuestionTemplate] = {}
    for template in in_order:
        groups[template.arguments, template.one_day] = template
    always = {template.id for template in groups.values()} | {
        w.id for w in templates if _BARE.fullmatch(w.text)
    }
    free = [template.id for template in in_order if template.id not in always]
    unseen = set(free[: max(MIN_UNSEEN, round(unseen_share * len(templates)))])
    return [
        QuestionTemplate(
            template.id,
            template.text,
            template.arguments,
            template.one_day,
            seen=template.id not in unseen,
        )
        for template in templates
    ]


def pools(templates: TemplatesFile, tool: ToolSchema) -> dict[str, Pool]:
    """What the file says about the values of a tool's parameters."""
    usual = Pool()
    return {
        name: Pool(
            values=tuple(parameter.values),
            first=parameter.first or usual.first,
            last=parameter.last or usual.last,
            days=parameter.days,
        )
        for name, parameter in templates.hints(tool.name).items()
    }


def memory_sources(templates: TemplatesFile, tool: str) -> dict[str, MemorySource]:
    """Parameters of a tool that are filled in per elder."""
    parameters = templates.of_tool(tool).parameters
    return {
        name: parameter.source
        for name, parameter in parameters.items()
        if parameter.source is not None
    }


def fill(
    text: str,
    arguments: JsonObject,
    templates: TemplatesFile,
    tool: ToolSchema,
    language: LanguageCode,
) -> str:
    """A template with its slots filled by the arguments as they are said in a language."""
    spoken = {
        name: say(value, templates, tool.name, name, language) for name, value in arguments.items()
    }
    start = next((start for start in date_ranges(tool) if start in arguments), None)
    if start is not None:
        spoken[DAY] = spoken[start]
    return text.format_map(spoken)


def say(
    value: object, templates: TemplatesFile, tool: str, parameter: str, language: LanguageCode
) -> str:
    """A value in words: lists as in a sentence, names as the file translates them."""
    known = templates.hints(tool).get(parameter, ParameterHints()).said.get(language, {})
    return say_value(value, language, known)


def say_value(value: object, language: LanguageCode, names: Mapping[str, str]) -> str:
    """A value in words, `names` translating texts."""
    phrases = rules_for(language).phrases
    if isinstance(value, list):
        parts = [say_value(item, language, names) for item in value]
        return phrases.last_comma.join(filter(None, [phrases.comma.join(parts[:-1]), *parts[-1:]]))
    if isinstance(value, dict):
        return ", ".join(f"{key} {say_value(item, language, names)}" for key, item in value.items())
    if isinstance(value, bool):
        return phrases.no_yes[value]
    return names.get(str(value), str(value))


def slots(text: str) -> list[str]:
    """Names of the slots of a template, in order.

    Raises:
        ConfigError: its braces do not pair.
    """
    try:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ConfigError(
            f"The template {text!r} is wrong: {error}.", next_step="write a literal brace twice."
        ) from None


def _template(tool: ToolSchema, language: LanguageCode, text: str) -> QuestionTemplate:
    names = set(slots(text))
    one_day = DAY in names and DAY not in argument_schemas(tool)
    if one_day:
        names = names - {DAY} | {name for pair in date_ranges(tool).items() for name in pair}
    unknown = names - set(argument_schemas(tool))
    missing = required_arguments(tool) - names
    if unknown or missing:
        wrong = f"has no parameter {sorted(unknown)}" if unknown else f"requires {sorted(missing)}"
        raise ConfigError(
            f"A {language} wording of {tool.name} does not fit: {text!r}; the tool {wrong}.",
            next_step="correct the slots of that wording.",
        )
    return QuestionTemplate(
        f"{tool.name}.{language}.{short_hash(tool.name, language, text)}",
        text,
        frozenset(names),
        one_day,
    )
