"""A base model's own chat template: what is added to it, and whether agents can speak by it.

The text stays as it came; a few lines in front fix what a server would otherwise decide anew at
every request (whether to think first, which day it is), and say two calls of one turn one after the
other where the template knows one a turn. Training, counting, evaluation, reinforcement learning,
serving and exports read that one file, so none of them can render otherwise.
"""

import re
from collections.abc import Iterator
from datetime import date

from agent_assets.conversations.messages import Conversation, Message, ToolCall, ToolSchema
from agent_assets.conversations.rendering.native_rows import ONE_CALL_MARK, NativeRows
from agent_assets.conversations.rendering.template_environment import NATIVE_MARK
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.errors import BaseModelError, TrainingDataError

# The day in Llama 3.1's own template: a day that moves would be another in training and serving.
_DAY = date(2024, 7, 26)
_DAY_WORDS = "26 Jul 2024"
# Raised with what `adapted_template` writes.
ADAPTATION_VERSION = 1
_GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
_DATE_FORMAT = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")

_ONE_CALL = (
    ONE_CALL_MARK
    + """\
{%- set calls = namespace(messages=[], waiting=[], answered=false) -%}
{%- for message in messages -%}
  {%- if message.role == 'tool' and calls.waiting and calls.answered -%}
    {%- set calls.messages = calls.messages
      + [{'role': 'assistant', 'content': '', 'tool_calls': calls.waiting[:1]}] -%}
    {%- set calls.waiting = calls.waiting[1:] -%}
  {%- endif -%}
  {%- set calls.answered = message.role == 'tool' -%}
  {%- if message.tool_calls and message.tool_calls | length > 1 -%}
    {%- set calls.messages = calls.messages + [{'role': 'assistant', 'content': message.content,
      'tool_calls': message.tool_calls[:1]}] -%}
    {%- set calls.waiting = message.tool_calls[1:] -%}
  {%- else -%}
    {%- set calls.messages = calls.messages + [message] -%}
  {%- endif -%}
{%- endfor -%}
{%- set messages = calls.messages -%}
"""
)

_TOOL = ToolSchema(
    "probe_tool",
    "Says how warm it was.",
    {
        "type": "object",
        "properties": {"probe_place": {"type": "string"}, "probe_day": {"type": "string"}},
        "required": ["probe_place"],
    },
)
ASKED = (Message("system", "Probe system."), Message("user", "Probe question?"))
_ARGUMENTS = {"probe_place": "Probe town"}
_NEXT = "Use a model whose template can, or `base_model.chat_template: compact` for a ChatML model."


def adapted_template(source: str, *, thinking: bool, one_call: bool = False) -> str:
    """The template as it is written into a base model's folder.

    Args:
        thinking: whether a model that can do either thinks before it answers.
        one_call: whether the template knows one call a turn.

    Raises:
        BaseModelError: it is to think, and the template has no word for that.
    """
    if thinking and "enable_thinking" not in source:
        raise BaseModelError(
            "The base model's chat template does not ask whether to think (`enable_thinking`).",
            next_step="Leave `base_model.thinking` out.",
        )
    lines = [f"{NATIVE_MARK}; in front of it what agents need. -#}}"]
    if "enable_thinking" in source:
        lines.append(_default("enable_thinking", "true" if thinking else "false"))
    if "date_string" in source:
        lines.append(_default("date_string", f"'{_DAY_WORDS}'"))
    days = {form: _DAY.strftime(form) for _, form in _DATE_FORMAT.findall(source)}
    if days:
        lines.append(
            f"{{%- macro strftime_now(form) -%}}{{{{- {days!r}[form] -}}}}{{%- endmacro -%}}"
        )
    if one_call:
        lines.append(_ONE_CALL.rstrip("\n"))
    # `+`: not even a line break of the template's own is lost
    lines.append("{%- if true -%}{%- endif +%}")
    return "\n".join(lines) + _GENERATION.sub(_as_if, source)


def _default(name: str, value: str) -> str:
    return f"{{%- if {name} is not defined -%}}{{%- set {name} = {value} -%}}{{%- endif -%}}"


def _as_if(tag: re.Match[str]) -> str:
    """`generation` marks what is learned for trainers that ask for it; servers print through it."""
    return f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}"


def knows_one_call(rows: NativeRows) -> bool:
    """Whether the template takes a turn with one call and refuses one with two."""
    from jinja2 import TemplateError

    try:
        rows.text(_called(1), strict_openai_tools([_TOOL]))
    except TemplateError:
        return False  # it refuses either; `check_speaks` says why
    try:
        rows.text(_called(2), strict_openai_tools([_TOOL]))
    except TemplateError:
        return True
    return False


def check_speaks(rows: NativeRows, name: str) -> None:
    """Refuse a model whose template cannot say what agents say.

    Raises:
        BaseModelError: it knows no tools, drops something, or cannot be trained as it is served.
    """
    from jinja2 import TemplateError

    try:
        problem = _problem(rows)
    except (TemplateError, TypeError) as error:
        problem = f"refuses a conversation with a system prompt and a tool: {error}"
    if problem is not None:
        raise BaseModelError(f"The chat template of {name} {problem}", next_step=_NEXT)


def _problem(rows: NativeRows) -> str | None:
    return next((problem for problem, there in _problems(rows) if there), None)


def _problems(rows: NativeRows) -> Iterator[tuple[str, bool]]:
    """What may be wrong, and whether it is; what comes later needs what is before."""
    tools = strict_openai_tools([_TOOL])
    asked = rows.text(ASKED, tools, prompt=True)
    yield "shows the model no tools.", _lacks(asked, "probe_tool", "probe_place", "how warm")
    yield "drops the system prompt.", _lacks(asked, "Probe system.")
    yield "drops the question.", _lacks(asked, "Probe question?")
    called = rows.text(_called(1), tools)
    yield "drops calls of tools.", _lacks(called, "probe_tool", "Probe town")
    yield "drops the results of tools.", _lacks(called, "Probe result 1")
    yield "drops what is said after a result.", _lacks(called, "Probe answer.")
    renamed = rows.text(_called(1, name="other"), tools)
    yield "writes the ids of calls, which a server makes up anew for each.", called != renamed
    try:
        rows.sequences(Conversation(tuple(_called(1)), (_TOOL,)))
    except TrainingDataError as error:
        yield f"cannot be trained as it is served: {error.message}", True


def _lacks(text: str, *words: str) -> bool:
    return any(word not in text for word in words)


def _called(count: int, *, name: str = "probe") -> list[Message]:
    """A conversation with so many calls in one turn; some templates want ids of nine letters."""
    calls = [ToolCall("probe_tool", _ARGUMENTS, f"{name}{n:04d}") for n in range(1, count + 1)]
    results = [
        Message("tool", f"Probe result {n}", tool_call_id=call.id)
        for n, call in enumerate(calls, start=1)
    ]
    return [
        *ASKED,
        Message("assistant", "", tuple(calls)),
        *results,
        Message("assistant", "Probe answer."),
    ]
