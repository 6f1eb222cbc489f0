"""Failures that only show when the calls of a tool lie side by side, and tools that need real
values.

One result may be read as an answer that fifty are not: equal texts for all kinds of arguments, with
words of failure in them, and odd complaints of a tool that fails at nearly everything.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from agent_assets.agent.loop import ERROR_PREFIX
from agent_assets.conversations.messages import JsonObject, ToolSchema, canonical_json
from agent_assets.conversations.strict_tools import parameter_order
from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.synthesis.arguments.json_schema import resolve
from agent_assets.synthesis.rows.example import Example
from agent_assets.text.failures import CalledTool, is_empty_answer, is_negative, says_failure
from agent_assets.text.own_words import scalars

MIN_CALLS = 5  # with different arguments: fewer show no pattern
MOST = 0.8  # of them


@dataclass(frozen=True)
class NeedsValues:
    """A tool of which most calls fail with the values it was given, or that finds nothing for any.

    Args:
        failed: calls that failed, of `calls` with different arguments.
        empty: calls that found nothing. That is an answer, and kept.
        parameters: those whose values are to be given, the ones that the complaints name if there
            are any. Empty: the tool has none, and its server lacks something.
        sources: tools that may list such values, by parameter.
    """

    failed: int
    empty: int
    calls: int
    parameters: tuple[str, ...]
    sources: Mapping[str, str]

    def as_json(self) -> JsonObject:
        """The fields, for `coverage.json`."""
        return asdict(self) | {"parameters": list(self.parameters)}

    def reason(self) -> str:
        """Why the tool is not covered, in words."""
        share = f"{self.failed} of {self.calls} calls failed"
        if self.empty:
            share += f", {self.empty} found nothing"
        if not self.parameters:
            return f"{share}, and it takes no values: its server lacks something"
        return f"needs real values for {', '.join(self.parameters)}: {share}"


@dataclass(frozen=True)
class _Executed:
    call: CalledTool
    text: str
    failed: bool

    @property
    def is_empty(self) -> bool:
        return not self.failed and is_empty_answer(self.text)

    @property
    def is_negative(self) -> bool:
        return not self.failed and is_negative(self.text)

    @property
    def key(self) -> str:
        """What it was called for: one document read with ten limits is one document."""
        arguments = self.call.arguments
        return canonical_json(
            [text for text in scalars(arguments) if isinstance(text, str)] or arguments
        )


@dataclass(frozen=True)
class _Calls:
    """The calls of one tool that are for different things.

    Args:
        equal: texts, without the arguments they repeat, of more than half of them.
        mostly_fail: nearly all of them fail.
    """

    different: tuple[_Executed, ...]
    equal: frozenset[str] = frozenset()
    mostly_fail: bool = False

    def fails(self, executed: _Executed) -> bool:
        """Whether a call failed, in the light of the others."""
        if executed.failed or not executed.is_negative:
            return executed.failed
        return executed.call.masked(executed.text) in self.equal or (
            self.mostly_fail and executed.call.is_mentioned_in(executed.text)
        )


def reject_failures(examples: Sequence[Example]) -> list[Example]:
    """The examples, those rejected as well that hold a failure which only the others show."""
    calls = _by_tool(examples)
    return [
        _rejected(example)
        if not example.rejections
        and any(calls[executed.call.tool].fails(executed) for executed in _executed(example))
        else example
        for example in examples
    ]


def tools_in_need(
    examples: Sequence[Example], tools: Sequence[ToolSchema]
) -> dict[str, NeedsValues]:
    """Tools of which most calls fail or none finds anything, by name."""
    by_tool = _by_tool(examples)
    needs = {}
    for tool in tools:
        calls = by_tool.get(tool.name, _Calls(()))
        total = len(calls.different)
        failed = [executed for executed in calls.different if calls.fails(executed)]
        empty = [executed for executed in calls.different if executed.is_empty]
        fails = total > 0 and len(failed) >= MOST * total
        finds_nothing = total >= MIN_CALLS and len(failed) + len(empty) == total
        names = _parameters(tool, failed or empty) if fails or finds_nothing else ()
        if fails or names:
            sources = {name: source for name in names if (source := _source(name, tool, tools))}
            needs[tool.name] = NeedsValues(len(failed), len(empty), total, names, sources)
    return needs


def _by_tool(examples: Sequence[Example]) -> dict[str, _Calls]:
    different: dict[str, dict[str, _Executed]] = defaultdict(dict)
    for example in examples:
        for executed in _executed(example):
            different[executed.call.tool].setdefault(executed.key, executed)
    return {tool: _compared(tuple(calls.values())) for tool, calls in different.items()}


def _compared(different: tuple[_Executed, ...]) -> _Calls:
    if len(different) < MIN_CALLS:
        return _Calls(different)
    texts = Counter(
        executed.call.masked(executed.text) for executed in different if executed.is_negative
    )
    equal = frozenset(text for text, count in texts.items() if count > len(different) / 2)
    calls = _Calls(different, equal)
    failed = sum(map(calls.fails, different))
    return replace(calls, mostly_fail=failed >= MOST * len(different))


def _executed(example: Example) -> list[_Executed]:
    """The calls of an example that have a result."""
    if len(example.messages) < 3:  # a question and its answer: elders have many of these
        return []
    results = {
        message.tool_call_id: message.content
        for message in example.messages
        if message.role == "tool"
    }
    executed = []
    for made in example.calls:
        if made.id in results:
            call, text = CalledTool(made.name, made.arguments), results[made.id]
            failed = text.startswith(ERROR_PREFIX) or says_failure(text, call)
            executed.append(_Executed(call, text, failed))
    return executed


def _rejected(example: Example) -> Example:
    detail = "its tool answers most calls so: a failure"
    return replace(example, rejections=(Rejection(RejectReason.OBSERVATION_IS_ERROR, detail),))


def _parameters(tool: ToolSchema, failed: Sequence[_Executed]) -> tuple[str, ...]:
    """Parameters whose values people know and a schema does not: free texts, and of these the ones
    that the complaints repeat or name.
    """
    free = [name for name in parameter_order(tool.parameters) if _is_free(tool, name)]
    free = [name for name in free if any(name in executed.call.arguments for executed in failed)]
    named = [
        name
        for name in free
        if sum(_complains_of(name, executed) for executed in failed) >= len(failed) / 2
    ]
    return tuple(named or free)


def _complains_of(name: str, executed: _Executed) -> bool:
    value = executed.call.arguments.get(name)
    only = CalledTool("", {name: value})
    return value is not None and only.masked(executed.text) != CalledTool("", {}).masked(
        executed.text
    )


def _is_free(tool: ToolSchema, name: str) -> bool:
    schema = resolve(tool.parameters["properties"][name], tool.parameters)
    kind = schema.get("type", "string")
    return kind in {"string", "array", "object"} and not schema.keys() & {"enum", "const"}


def _source(name: str, tool: ToolSchema, tools: Sequence[ToolSchema]) -> str | None:
    """A tool that by its name lists what the parameter names; first those that need nothing to do
    so.
    """
    others = [other for other in tools if other.name != tool.name]
    others.sort(key=lambda other: bool(other.parameters.get("required")))
    for noun in (*_nouns(name), *_nouns(tool.name)):
        plurals = {f"{noun}s", f"{noun}es", f"{noun.removesuffix('y')}ies"}
        for other in others:
            words = set(re.split(r"[^a-z]+", _snake_case(other.name)))
            if words & {"list", "get", "search", "show"} and words & plurals:
                return other.name
    return None


def _nouns(name: str) -> list[str]:
    """Words of a name that may be things: `table` of `table_name`, `file` of `filename`."""
    words = re.findall(r"[a-z]+", _snake_case(name))
    return [word.removesuffix("name").removesuffix("path") or word for word in words]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
