"""A chat template as fixed texts around what people, models and tools say.

Ollama reads Go templates, models come with Jinja. Nothing translates one into the other; but what a
template writes around each turn can be seen by rendering conversations of marked words. The parts
put together again are compared with the template on other conversations, so a template that is more
than such parts (one that writes earlier turns otherwise) is refused rather than exported wrong.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import JsonObject, Message, ToolCall
from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.errors import ExportError

_SYSTEM, _USER, _NEXT, _SAID, _TOOL = "Zsystem.", "Zuser?", "Znext?", "Zsaid.", "ztool"
_FIRST, _SECOND = "Zresult one.", "Zresult two."
_ARGUMENTS: JsonObject = {"zkey": "zvalue"}
_WRITTEN = re.compile(r'\{\s*"zkey"\s*:\s*"zvalue"\s*\}')
_REFUSED = (
    "use `--to gguf` with llama.cpp's server, which reads the model's own template from the file."
)


@dataclass(frozen=True)
class TemplateTurn:
    """What stands around a text."""

    before: str
    after: str


@dataclass(frozen=True)
class TemplateParts:
    """The texts around turns.

    Args:
        system, system_tools: around the system prompt, without and with the agent's tools.
        no_system, no_system_tools: where there is no system prompt.
        call: around a call; `call_middle` between its name and its arguments; `call_between` two
            calls; `call_behind_text` a text and the first call.
        result: around the results of one turn; `result_between` two of them.
        prompt: what opens the answer.
    """

    system: TemplateTurn
    system_tools: TemplateTurn
    no_system: str
    no_system_tools: str
    user: TemplateTurn
    assistant: TemplateTurn
    call: TemplateTurn
    call_middle: str
    call_between: str
    call_behind_text: str
    result: TemplateTurn
    result_between: str
    prompt: str

    def render(self, messages: Sequence[Message], *, tools: bool) -> str:
        """A conversation up to the next answer, as the Go template writes it. Arguments are JSON
        without blanks, as Ollama prints them.
        """
        written = []
        said = list(messages)
        if said and said[0].role == "system":
            turn = self.system_tools if tools else self.system
            written.append(turn.before + said.pop(0).content + turn.after)
        else:
            written.append(self.no_system_tools if tools else self.no_system)
        in_results = False
        for message in said:
            if message.role == "tool":
                written.append(self.result_between if in_results else self.result.before)
                written.append(message.content)
                in_results = True
                continue
            if in_results:
                written.append(self.result.after)
                in_results = False
            written.append(self._turn(message))
        return "".join(written) + (self.result.after if in_results else "") + self.prompt

    def _turn(self, message: Message) -> str:
        if message.role == "user":
            return self.user.before + message.content + self.user.after
        calls = self.call_between.join(
            f"{self.call.before}{call.name}{self.call_middle}"
            f"{json.dumps(call.arguments, ensure_ascii=False, separators=(',', ':'))}"
            f"{self.call.after}"
            for call in message.tool_calls
        )
        between = self.call_behind_text if calls and message.content else ""
        return f"{self.assistant.before}{message.content}{between}{calls}{self.assistant.after}"


def template_parts(rows: NativeRows, tools: Sequence[JsonObject]) -> TemplateParts:
    """The parts of the template in a model folder.

    Args:
        tools: of the agent, in OpenAI form; requests with tools show these, whatever they bring.

    Raises:
        ExportError: the template is more than such parts.
    """
    from jinja2 import TemplateError

    try:
        parts = _Probe(rows, tools).parts()
        wrong = any(
            parts.render(messages, tools=with_tools)
            != _without_blanks(rows.text(messages, tools if with_tools else (), prompt=True))
            for messages in _CONVERSATIONS
            for with_tools in (True, False)
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise _refused() from error
    if wrong:
        raise _refused()
    return parts


def _refused() -> ExportError:
    return ExportError(
        "The chat template of this model cannot be said as a template of Ollama: it writes more "
        "than fixed texts around turns.",
        next_step=_REFUSED,
    )


def _call(count: int, text: str = "") -> Message:
    calls = tuple(ToolCall(_TOOL, _ARGUMENTS, f"call{number:05d}") for number in range(count))
    return Message("assistant", text, calls)


def _result(text: str, number: int = 0) -> Message:
    return Message("tool", text, tool_call_id=f"call{number:05d}")


_S, _U, _N = Message("system", _SYSTEM), Message("user", _USER), Message("user", _NEXT)
_A = Message("assistant", _SAID)
_CONVERSATIONS: tuple[tuple[Message, ...], ...] = (
    (_U,),
    (_S, _U),
    (_S, _U, _A, _N),
    (_U, _A, _N, _A, _U),
    (_S, _U, _call(1), _result(_FIRST)),
    (_S, _U, _call(1), _result(_FIRST), _A, _N),
    (_S, _U, _call(2, "Ztext."), _result(_FIRST), _result(_SECOND, 1), _A, _N),
    (_S, _U, _call(1), _result(_FIRST), _call(1), _result(_SECOND), _A, _N, _A, _U),
)


def _without_blanks(text: str) -> str:
    return _WRITTEN.sub(json.dumps(_ARGUMENTS, separators=(",", ":")), text)


class _Probe:
    """Renders conversations of marked words, and cuts the texts at them. A text that is not cut as
    expected is a ValueError.
    """

    def __init__(self, rows: NativeRows, tools: Sequence[JsonObject]) -> None:
        self._rows, self._tools = rows, list(tools)

    def parts(self) -> TemplateParts:
        self._prompt = _rest(self._text(_S, _U, prompt=True), self._text(_S, _U))
        said_after = _cut(self._text(_S, _U, _A), _SAID)[1]
        around = _cut(self._text(_S, _U, _A, _N), _USER, _SAID, _NEXT)
        user = TemplateTurn(_rest(around[2], said_after), around[3])
        assistant = TemplateTurn(_rest(around[1], user.after), said_after)
        call, middle = self._call_parts(user, assistant)
        two = _cut(self._text(_S, _U, _call(2)), _ARGUMENTS, _TOOL)
        behind = _cut(self._text(_S, _U, _call(1, _SAID)), _SAID, _TOOL)[1]
        results = self._result_parts()
        return TemplateParts(
            system=self._head(user, tools=False),
            system_tools=self._head(user, tools=True),
            no_system=_front(_cut(self._text(_U), _USER)[0], user.before),
            no_system_tools=_front(_cut(self._text(_U, tools=True), _USER)[0], user.before),
            user=user,
            assistant=assistant,
            call=call,
            call_middle=middle,
            call_between=_front(_rest(two[1], call.after), call.before),
            call_behind_text=_front(behind, call.before),
            result=results[0],
            result_between=results[1],
            prompt=self._prompt,
        )

    def _text(self, *messages: Message, tools: bool | None = None, prompt: bool = False) -> str:
        calls = any(message.tool_calls for message in messages)
        shown = calls if tools is None else tools
        return self._rows.text(messages, self._tools if shown else (), prompt=prompt)

    def _head(self, user: TemplateTurn, *, tools: bool) -> TemplateTurn:
        before, behind, _ = _cut(self._text(_S, _U, tools=tools), _SYSTEM, _USER)
        return TemplateTurn(before, _front(behind, user.before))

    def _call_parts(self, user: TemplateTurn, assistant: TemplateTurn) -> tuple[TemplateTurn, str]:
        _, opened, middle, closed = _cut(self._text(_S, _U, _call(1)), _USER, _TOOL, _ARGUMENTS)
        before = _rest(_rest(opened, user.after), assistant.before)
        return TemplateTurn(before, _front(closed, assistant.after)), middle

    def _result_parts(self) -> tuple[TemplateTurn, str]:
        called = self._text(_S, _U, _call(2))
        answered = _rest(self._text(_S, _U, _call(2), _result(_FIRST), _result(_SECOND, 1)), called)
        before, between, after = _cut(answered, _FIRST, _SECOND)
        return TemplateTurn(before, after), between


def _cut(text: str, *marks: str | JsonObject) -> list[str]:
    """The texts around marks, each found once, in order, behind the one before it."""
    parts = []
    for mark in marks:
        pattern = _WRITTEN if not isinstance(mark, str) else re.compile(re.escape(mark))
        place = pattern.search(text)
        if place is None:
            raise ValueError("a mark is missing")
        parts.append(text[: place.start()])
        text = text[place.end() :]
    return [*parts, text]


def _rest(text: str, beginning: str) -> str:
    if not text.startswith(beginning):
        raise ValueError("a text begins otherwise")
    return text[len(beginning) :]


def _front(text: str, end: str) -> str:
    if not text.endswith(end):
        raise ValueError("a text ends otherwise")
    return text[: len(text) - len(end)]
