"""Questions for a tool that nobody wrote wordings for, made from the descriptions in its schema."""

import re

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.synthesis.arguments.json_schema import resolve
from agent_assets.synthesis.templates.render import ARGUMENTS, TASK, Wording, say_value, split_wordings
from agent_assets.text.language import Language
from agent_assets.text.seeds import short_hash

MAX_LABEL_WORDS = 4
MAX_TASK_WORDS = 14

_WITH: dict[Language, tuple[str, ...]] = {
    "en": (
        "{task}: {arguments}.",
        "{task} with {arguments}, please.",
        "I need this: {task}. Use {arguments}.",
        "Could you help? {task} ({arguments}).",
        "With {arguments}: {task}.",
        "Given {arguments}, {task}.",
        "My request: {task}; {arguments}.",
        "Please do the following for {arguments}: {task}.",
        "{arguments}. {task}, thanks.",
        "For {arguments} I would like this: {task}.",
        "Take {arguments} and then {task}.",
        "How about this: {task}, using {arguments}?",
    ),
    "zh": (
        "{task}：{arguments}。",
        "请帮我{task}，{arguments}。",
        "{arguments}，{task}。",
        "我想{task}，条件是{arguments}。",
        "按{arguments}来{task}。",
        "麻烦{task}（{arguments}）。",
        "用{arguments}{task}，谢谢。",
        "能不能{task}？{arguments}。",
    ),
}
_WITHOUT: dict[Language, tuple[str, ...]] = {
    "en": (
        "{task}.",
        "Please {task}.",
        "Could you {task}?",
        "I need this: {task}.",
        "Help me with this: {task}.",
        "{task}, thanks.",
        "Now do this: {task}.",
        "My request: {task}.",
    ),
    "zh": ("{task}。", "请{task}。", "能帮我{task}吗？", "我想{task}。", "麻烦{task}。", "{task}，谢谢。"),
}


def fallback_wordings(tool: ToolSchema, language: Language, *, unseen_share: float) -> list[Wording]:
    """Wordings for whatever arguments are sampled, split into seen and unseen."""
    templates = (_WITH if tool.parameters.get("properties") else _WITHOUT)[language]
    made = [
        Wording(f"fallback.{language}.{short_hash('fallback', language, text)}", text, None, one_day=False)
        for text in templates
    ]
    return split_wordings(made, key=f"fallback|{language}", unseen_share=unseen_share)


def fill_fallback(text: str, arguments: JsonObject, tool: ToolSchema, language: Language) -> str:
    """The template with the tool's task and its arguments in words."""
    if not arguments and f"{{{ARGUMENTS}}}" in text:  # only optional parameters, none of them chosen
        text = "{task}。" if language == "zh" else "{task}."
    said = (f"{_label(tool, name)} {say_value(value, language, {})}" for name, value in arguments.items())
    task = _task(tool)
    question = text.format_map({TASK: task, ARGUMENTS: ("，" if language == "zh" else ", ").join(said)})
    return question[:1].upper() + question[1:]


def _task(tool: ToolSchema) -> str:
    """The first sentence of the description, short and without its full stop, or the name in words."""
    sentence = re.split(r"(?<=[.!?。！？])\s|\n", tool.description.strip(), maxsplit=1)[0].rstrip(".。!！ ")
    words = sentence.split()
    if not words or len(words) > MAX_TASK_WORDS:
        return tool.name.replace("_", " ").replace("-", " ")
    first = words[0]
    return sentence if first.isupper() and len(first) > 1 else sentence[:1].lower() + sentence[1:]


def _label(tool: ToolSchema, name: str) -> str:
    """A short description of a parameter, or its name in words."""
    schema = tool.parameters.get("properties", {}).get(name, {})
    described = str(resolve(schema, tool.parameters).get("description", "")).strip().rstrip(".。")
    if described and len(described.split()) <= MAX_LABEL_WORDS and len(described) <= 40:
        return described[:1].lower() + described[1:] if not described.isupper() else described
    return name.replace("_", " ").replace("-", " ")
