"""Modelfiles: the template is cut from what the model's own template writes, or refused."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_assets.conversations.messages import Message, ToolCall, ToolSchema
from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.engines.chat_templates.choice import HERMES, chat_template
from agent_assets.errors import ExportError
from agent_assets.export.ollama.modelfile import go_template, modelfile
from agent_assets.export.ollama.template_parts import template_parts
from support.command_line import ROOT as REPOSITORY

TOOLS = strict_openai_tools(
    [
        ToolSchema(
            "get_price",
            'Price of a province {{ "in" }} {yuan}.',
            {
                "type": "object",
                "properties": {"province": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["province"],
            },
        )
    ]
)
CONVERSATION = (
    Message("system", "You are Ada."),
    Message("user", "What did it cost?"),
    Message(
        "assistant",
        "I look it up.",
        (
            ToolCall("get_price", {"province": "Anhui", "days": 2}, "call00000"),
            ToolCall("get_price", {"province": "江苏"}, "call00001"),
        ),
    ),
    Message("tool", "3 yuan", tool_call_id="call00000"),
    Message("tool", "4 yuan", tool_call_id="call00001"),
    Message("assistant", "3 and 4 yuan."),
    Message("user", "Thank you. {{ .System }}"),
)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text(chat_template(HERMES), encoding="utf-8")
    return tmp_path


def test_the_parts_of_our_template_write_what_the_template_writes(model_folder: Path) -> None:
    rows = NativeRows(model_folder)
    parts = template_parts(rows, TOOLS)
    for tools in (True, False):
        expected = rows.text(CONVERSATION, TOOLS if tools else (), prompt=True)
        assert parts.render(CONVERSATION, tools=tools) == without_blanks(expected)


RENDER = """
import json, sys
from pathlib import Path
from go_template import render
for values in json.loads(sys.argv[2]):
    print(json.dumps(render(Path(sys.argv[1]), values).decode()))
"""


def by_go(template: Path, cases: Sequence[dict[str, Any]]) -> list[str]:
    """What Go's text/template writes, given what Ollama gives it (template/template.go)."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(template), json.dumps(cases)],
        env={"PYTHONPATH": str(REPOSITORY / ".venvs" / "test-go-template")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def as_ollama_gives_it(messages: Sequence[Message], *, tools: bool) -> dict[str, Any]:
    """Arguments print themselves as JSON without blanks; the system prompt stands twice."""
    return {
        "System": "".join(message.content for message in messages if message.role == "system"),
        "Tools": TOOLS if tools else [],
        "Messages": [
            {
                "Role": message.role,
                "Content": message.content,
                "ToolCalls": [
                    {
                        "Function": {
                            "Name": call.name,
                            "Arguments": json.dumps(
                                call.arguments, ensure_ascii=False, separators=(",", ":")
                            ),
                        }
                    }
                    for call in message.tool_calls
                ],
            }
            for message in messages
        ],
    }


def test_go_writes_the_prompts_that_the_model_was_trained_on(model_folder: Path) -> None:
    """Braces that open an action in Go, Chinese, several calls and results, with and without a
    system prompt and tools.
    """
    rows = NativeRows(model_folder)
    parts = template_parts(rows, TOOLS)
    file = model_folder / "template.go.txt"
    file.write_text(go_template(parts), encoding="utf-8")
    asked = [
        (messages, tools)
        for end in (1, 2, 5, 6, 7)
        for messages in (CONVERSATION[:end], CONVERSATION[1:end])
        for tools in (True, False)
        if messages and messages[-1].role != "system"
    ]
    written = by_go(file, [as_ollama_gives_it(said, tools=tools) for said, tools in asked])
    for (messages, tools), text in zip(asked, written, strict=True):
        assert text == parts.render(messages, tools=tools)
        expected = rows.text(messages, TOOLS if tools else (), prompt=True)
        assert text == without_blanks(expected)


def without_blanks(text: str) -> str:
    for call in CONVERSATION[2].tool_calls:
        written = json.dumps(call.arguments, ensure_ascii=False)
        text = text.replace(
            written, json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))
        )
    return text


def test_a_template_that_writes_earlier_turns_otherwise_is_refused(model_folder: Path) -> None:
    """Qwen 3 leaves thoughts of earlier turns out; no fixed texts say that."""
    source = chat_template(HERMES).replace(
        "{{- '<|im_end|>\\n' -}}\n  {%- endif -%}",
        "{{- ('' if loop.last else '<!-- earlier -->') + '<|im_end|>\\n' -}}\n  {%- endif -%}",
    )
    assert source != chat_template(HERMES)
    (model_folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    with pytest.raises(ExportError, match="cannot be said as a template of Ollama") as refused:
        template_parts(NativeRows(model_folder), TOOLS)
    assert "--to gguf" in str(refused.value.next_step)


def test_the_tag_of_calls_is_the_first_text_under_tool_calls(model_folder: Path) -> None:
    """Ollama reads calls in answers by it (tools/template.go); a line break before it would make
    every brace in an answer the beginning of a call.
    """
    template = go_template(template_parts(NativeRows(model_folder), TOOLS))
    behind = template.split("{{ if .ToolCalls }}")[1]
    text = behind.split("}}", 2)[2].split("{{")[0]
    assert template.count("{{ if .ToolCalls }}") == 1
    assert text.split("{")[0].strip() == "<tool_call>"


def test_a_modelfile_answers_as_the_installation_does() -> None:
    text = modelfile(
        comment="energy_expert, release 0a1b2c3d, q8_0",
        template="{{ .System }}",
        system_prompt="You know prices.\nAnswer briefly.",
        stops=["<|im_end|>"],
        context_tokens=2048,
        answer_tokens=256,
    )
    assert text.splitlines() == [
        "# energy_expert, release 0a1b2c3d, q8_0; written by agent-assets.",
        "FROM ./model.gguf",
        'TEMPLATE """{{ .System }}"""',
        'SYSTEM """You know prices.',
        'Answer briefly."""',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        "PARAMETER num_ctx 2048",
        "PARAMETER num_predict 256",
        'PARAMETER stop """<|im_end|>"""',
    ]


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [('Say """hello"""', "three quotes"), ("名字\u3000沈富", r"U\+3000"), ("a\u200db", r"U\+200D")],
)
def test_what_a_modelfile_would_lose_without_a_word_is_refused(prompt: str, problem: str) -> None:
    with pytest.raises(ExportError, match=f"The system prompt holds {problem}"):
        modelfile(
            comment="",
            template="",
            system_prompt=prompt,
            stops=[],
            context_tokens=1,
            answer_tokens=1,
        )
