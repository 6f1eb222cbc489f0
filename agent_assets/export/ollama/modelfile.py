"""The Modelfile beside a GGUF file: `ollama create NAME -f Modelfile` makes the agent of both."""

from collections.abc import Sequence
from pathlib import Path

from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.conversations.rendering.template_environment import (
    TOKENIZER_FILE,
    read_tokenizer,
)
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.conversations.tools import read_snapshot
from agent_assets.errors import ExportError
from agent_assets.export.ollama.template_parts import TemplateParts, TemplateTurn, template_parts
from agent_assets.export.released import ReleasedModel
from agent_assets.serving_settings import load_serving

MODELFILE = "Modelfile"


def write_modelfile(released: ReleasedModel, quantization: str, folder: Path) -> None:
    """Write the Modelfile of a released model beside `model.gguf`.

    Raises:
        ExportError: its template, or its system prompt, cannot be said there.
    """
    merged = released.part("merged").path
    schema = released.part("tools").path / "tool_schema.json"
    tools = strict_openai_tools(read_snapshot(schema.read_text(encoding="utf-8")))
    rows = NativeRows(merged)
    tokenizer = read_tokenizer(str(merged / TOKENIZER_FILE))
    serving = load_serving()
    text = modelfile(
        comment=f"{released.title}, release {released.entry.version[:8]}, {quantization}",
        template=go_template(template_parts(rows, tools)),
        system_prompt=released.candidate.system_prompt,
        stops=sorted(str(tokenizer.id_to_token(token)) for token in rows.stop_ids),
        context_tokens=serving.inference.max_model_len,
        answer_tokens=serving.answers.max_tokens,
    )
    (folder / MODELFILE).write_text(text, encoding="utf-8")


def modelfile(
    *,
    comment: str,
    template: str,
    system_prompt: str,
    stops: Sequence[str],
    context_tokens: int,
    answer_tokens: int,
) -> str:
    """The text of a Modelfile. Answers are the most likely ones, as this installation gives them;
    Ollama would draw them, and shy away from words that were said.

    Raises:
        ExportError: a text holds what a Modelfile cannot.
    """
    parameters = {
        "temperature": "0",
        "repeat_penalty": "1",
        "num_ctx": str(context_tokens),
        "num_predict": str(answer_tokens),
    }
    lines = [
        f"# {comment}; written by agent-assets.",
        "FROM ./model.gguf",
        f"TEMPLATE {_quoted('chat template', template)}",
        f"SYSTEM {_quoted('system prompt', system_prompt)}",
        *(f"PARAMETER {name} {value}" for name, value in parameters.items()),
        *(f"PARAMETER stop {_quoted('end token', stop)}" for stop in stops),
    ]
    return "\n".join(lines) + "\n"


def _quoted(what: str, text: str) -> str:
    """Ollama knows no escapes: three quotes end a text, and letters that print nothing are left
    out without a word.
    """
    lost = sorted({letter for letter in text if not (letter.isprintable() or letter in "\n\t")})
    if lost or '"""' in text:
        problem = f"U+{ord(lost[0]):04X}" if lost else 'three quotes (""")'
        raise ExportError(
            f"The {what} holds {problem}, which a Modelfile cannot.",
            next_step="write it without, or use `--to gguf`.",
        )
    return f'"""{text}"""'


def go_template(parts: TemplateParts) -> str:
    """The parts as a Go template for Ollama. It finds the tag of tool calls in the first text under
    `if .ToolCalls`: that stands once, and nothing stands before the call in it.
    """
    system = _if(
        ".System",
        _if(".Tools", _around(parts.system_tools, ".System"), _around(parts.system, ".System")),
        _if(".Tools", _text(parts.no_system_tools), _text(parts.no_system)),
    )
    result = _if("$results", _text(parts.result_between), _text(parts.result.before))
    result += _do(".Content") + _do("$results = true")
    results_end = _text(parts.result.after)
    turn = _if("$results", results_end + _do("$results = false"))
    turn += _if('eq .Role "user"', _around(parts.user, ".Content"))
    turn += _if('eq .Role "assistant"', _assistant(parts))
    return (
        system
        + _do("$results := false")
        + _do("range .Messages")
        + _if('eq .Role "tool"', result, turn)
        + _do("end")
        + _if("$results", results_end)
        + _text(parts.prompt)
    )


def _assistant(parts: TemplateParts) -> str:
    behind_text = _do("with .ToolCalls") + _text(parts.call_behind_text) + _do("end")
    more = "gt (len (slice $turn.ToolCalls $number)) 1"
    calls = (
        _do("$turn := .")
        + _do("range $number, $call := .ToolCalls")
        + _around(parts.call, "$call.Function.Name", parts.call_middle, "$call.Function.Arguments")
        + _if(more, _text(parts.call_between))
        + _do("end")
    )
    said = _if(".Content", _do(".Content") + behind_text) + _if(".ToolCalls", calls)
    return _text(parts.assistant.before) + said + _text(parts.assistant.after)


def _do(action: str) -> str:
    return f"{{{{ {action} }}}}"


def _if(condition: str, yes: str, no: str = "") -> str:
    otherwise = _do("else") + no if no else ""
    return _do(f"if {condition}") + yes + otherwise + _do("end")


def _around(turn: TemplateTurn, said: str, middle: str = "", further: str | None = None) -> str:
    end = "" if further is None else _text(middle) + _do(further)
    return _text(turn.before) + _do(said) + end + _text(turn.after)


def _text(text: str) -> str:
    """A fixed text in a Go template: braces that would open an action stand in one."""
    text = text.replace("{{", '{{ "{{" }}')
    return text[:-1] + '{{ "{" }}' if text.endswith("{") else text
