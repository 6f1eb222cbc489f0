"""Questions for a tool that nobody wrote wordings for, made from the descriptions in its schema."""

import re

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.tools import argument_schemas
from agent_assets.synthesis.arguments.json_schema import resolve
from agent_assets.synthesis.templates.render import (
    ARGUMENTS,
    TASK,
    QuestionTemplate,
    say_value,
    split_templates,
)
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.seeds import short_hash

MAX_LABEL_WORDS = 4
MAX_TASK_WORDS = 14


def fallback_templates(
    tool: ToolSchema, language: LanguageCode, *, unseen_share: float
) -> list[QuestionTemplate]:
    """Wordings for whatever arguments are sampled, split into seen and unseen."""
    phrases = rules_for(language).phrases
    templates = phrases.requests if argument_schemas(tool) else phrases.bare_requests
    requests = [
        QuestionTemplate(
            f"fallback.{language}.{short_hash('fallback', language, text)}",
            text,
            None,
            one_day=False,
        )
        for text in templates
    ]
    return split_templates(requests, key=f"fallback|{language}", unseen_share=unseen_share)


def fill_fallback(
    text: str, arguments: JsonObject, tool: ToolSchema, language: LanguageCode
) -> str:
    """The template with the tool's task and its arguments in words."""
    phrases = rules_for(language).phrases
    # Only optional parameters, none of them chosen
    if not arguments and f"{{{ARGUMENTS}}}" in text:
        text = phrases.task
    spoken = (
        f"{_label(tool, name)} {say_value(value, language, {})}"
        for name, value in arguments.items()
    )
    task = _task(tool)
    question = text.format_map({TASK: task, ARGUMENTS: phrases.argument_comma.join(spoken)})
    return question[:1].upper() + question[1:]


def _task(tool: ToolSchema) -> str:
    """The first sentence of the description, short and without its full stop, or the name in
    words.
    """
    sentence = re.split(r"(?<=[.!?。！？])\s|\n", tool.description.strip(), maxsplit=1)[0].rstrip(
        ".。!！ "
    )
    words = sentence.split()
    if not words or len(words) > MAX_TASK_WORDS:
        return tool.name.replace("_", " ").replace("-", " ")
    first = words[0]
    return sentence if first.isupper() and len(first) > 1 else sentence[:1].lower() + sentence[1:]


def _label(tool: ToolSchema, name: str) -> str:
    """A short description of a parameter, or its name in words."""
    schema = argument_schemas(tool).get(name, {})
    described = str(resolve(schema, tool.parameters).get("description", "")).strip().rstrip(".。")
    if described and len(described.split()) <= MAX_LABEL_WORDS and len(described) <= 40:
        return described[:1].lower() + described[1:] if not described.isupper() else described
    return name.replace("_", " ").replace("-", " ")
