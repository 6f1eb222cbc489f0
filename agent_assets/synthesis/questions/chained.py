"""Values of parameters that come from the results of other tools: `list_documents` knows the names
that `read_document` takes. The wordings file says which.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent_assets.agent.loop import ToolCaller
from agent_assets.conversations.messages import JsonObject, ToolCall, ToolSchema, canonical_json
from agent_assets.conversations.tools import argument_schemas, required_arguments
from agent_assets.errors import ConfigError
from agent_assets.synthesis.wordings import TemplatesFile, ValueSource, read_templates
from agent_assets.text.failures import CalledTool, says_failure
from agent_assets.text.own_words import scalars

VALUES_FILE = "values.json"
MAX_VALUES = 40  # of one parameter
MAX_CALLS = 5  # of a source that has an argument of its own to fill
_NAMING = ("name", "id", "path", "title", "key", "uri")
_LIST_MARK = re.compile(r"(?:[-*•]|\d+[.)]|\[\w+\])\s+")
_REMARK = re.compile(r"\s+\([^()]*\)$")


@dataclass(frozen=True)
class ChainedValues:
    """What the tools gave.

    Args:
        values: by tool and parameter.
        lacking: tools for whose parameters nothing was given, and why.
    """

    values: Mapping[str, Mapping[str, list[object]]] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)


class AnnotatedTools(ToolCaller, Protocol):
    """Tools that are known to read or to write, as their servers say."""

    annotations: dict[str, dict[str, bool]]


async def chained_values(
    templates_file: Path | None, tools: Sequence[ToolSchema], toolbox: AnnotatedTools
) -> ChainedValues:
    """Call the tools that the wordings file takes values from.

    Raises:
        ConfigError: the file is wrong, there is no such tool, it changes things, or sources lead in
            a circle.
        ToolServerError: a server failed.
    """
    templates = read_templates(templates_file)
    chains = _Chains(templates, {tool.name: tool for tool in tools}, toolbox)
    values: dict[str, dict[str, list[object]]] = {}
    lacking = {}
    for tool in tools:
        for name, hints in templates.hints(tool.name).items():
            if hints.from_tool is None or name not in argument_schemas(tool):
                continue
            given = await chains.values(hints.from_tool, name, ())
            if given:
                values.setdefault(tool.name, {})[name] = given
            elif not hints.values and name in required_arguments(tool):
                lacking[tool.name] = f"{hints.from_tool.tool} gives no values for {name}"
    return ChainedValues(values, lacking)


def write_chained(folder: Path, chained: ChainedValues) -> None:
    """Write `values.json`, where tools gave any."""
    if chained.values:
        (folder / VALUES_FILE).write_text(canonical_json(chained.values) + "\n", encoding="utf-8")


def read_chained(folder: Path) -> ChainedValues:
    """Read what `write_chained` wrote."""
    path = folder / VALUES_FILE
    values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return ChainedValues(values)


def with_values(templates: TemplatesFile, chained: ChainedValues) -> TemplatesFile:
    """The wordings with the values that tools gave, after those that the file lists."""
    tools = dict(templates.tools)
    for tool, by_parameter in chained.values.items():
        hints = templates.hints(tool)
        filled = {
            name: hints[name].model_copy(update={"values": [*hints[name].values, *given]})
            for name, given in by_parameter.items()
        }
        block = templates.of_tool(tool)
        tools[tool] = block.model_copy(update={"parameters": {**block.parameters, **filled}})
    return templates.model_copy(update={"tools": tools})


@dataclass(frozen=True)
class _Chains:
    templates: TemplatesFile
    tools: Mapping[str, ToolSchema]
    toolbox: AnnotatedTools
    known: dict[str, list[object]] = field(default_factory=dict)

    async def values(
        self, source: ValueSource, parameter: str, asked_for: tuple[str, ...]
    ) -> list[object]:
        """Values for a parameter, each once.

        Args:
            asked_for: tools whose arguments these values are for, the first one first.
        """
        if source.tool not in self.tools:
            raise ConfigError(
                f"The wordings take values of {parameter} from {source.tool!r}, which no server "
                "has, or which may not be called.",
                next_step="correct from_tool, enable its server in mcp_config.json, or, if it only "
                "reads, name it in tools.read_only of defs.yaml.",
            )
        if self.toolbox.annotations.get(source.tool, {}).get("writes"):
            raise ConfigError(
                f"The wordings take values of {parameter} from {source.tool!r}, which changes "
                "things, as its server says.",
                next_step="name a tool that only reads, or list the values.",
            )
        if source.tool in asked_for:
            raise ConfigError(
                f"The wordings take values of {parameter} from {source.tool!r}, which takes its "
                "own from there.",
                next_step="give source arguments (from_tool: {tool: ..., arguments: {...}}).",
            )
        key = f"{source.model_dump_json()} {parameter}"
        if key not in self.known:
            self.known[key] = await self._call(source, parameter, asked_for)
        return self.known[key]

    async def _call(
        self, source: ValueSource, parameter: str, asked_for: tuple[str, ...]
    ) -> list[object]:
        values: dict[str, object] = {}
        for arguments in await self._arguments(source, asked_for):
            call = ToolCall(source.tool, arguments, "values")
            result = await self.toolbox.call(call)
            if result.is_error or says_failure(result.text, CalledTool(source.tool, arguments)):
                continue
            for value in _values_in(result.text, source, parameter):
                filled = value
                if source.template is not None:
                    filled = source.template.replace("{value}", str(value))
                values.setdefault(str(filled), filled)
        return list(values.values())[:MAX_VALUES]

    async def _arguments(self, source: ValueSource, asked_for: tuple[str, ...]) -> list[JsonObject]:
        """Arguments to call a source with: those of the file, and what others give for the rest."""
        calls: list[JsonObject] = [dict(source.arguments)]
        hints = self.templates.hints(source.tool)
        for name in self.tools[source.tool].parameters.get("required", ()):
            if name in source.arguments:
                continue
            hint = hints.get(name)
            choices = [] if hint is None else list(hint.values)
            if hint is not None and hint.from_tool is not None:
                choices += await self.values(hint.from_tool, name, (*asked_for, source.tool))
            calls = [{**call, name: choice} for call in calls for choice in choices][:MAX_CALLS]
        return calls


def _values_in(text: str, source: ValueSource, parameter: str) -> Iterator[object]:
    """The values that a result lists."""
    if source.pattern is not None:
        yield from re.findall(source.pattern, text)
        return
    listed = _structure(text)
    if listed is None:
        yield from _lines(text)
    elif source.field is not None:
        yield from _fields(listed, [source.field])
    else:
        yield from next(
            (values for name in (parameter, *_NAMING) if (values := list(_fields(listed, [name])))),
            [value for value in scalars(listed) if isinstance(value, str | int)],
        )


def _structure(text: str) -> object:
    """JSON, or what Python prints of a list; None for other text."""
    for read in (json.loads, ast.literal_eval):
        try:
            value: object = read(text)
        except (ValueError, SyntaxError):
            continue
        return value if isinstance(value, dict | list) else None
    return None


def _fields(value: object, names: Sequence[str]) -> Iterator[object]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name in names:
                yield from (part for part in scalars(item) if part not in (None, ""))
            else:
                yield from _fields(item, names)
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item, names)


def _lines(text: str) -> Iterator[str]:
    """Lines without marks of lists and remarks in brackets: `- notes.txt (3 KB)`. A heading is no
    value.
    """
    for line in text.splitlines():
        value = _REMARK.sub("", _LIST_MARK.sub("", line.strip(), count=1)).strip()
        if value and not value.endswith((":", "：")):
            yield value
