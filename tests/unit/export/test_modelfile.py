"""Modelfiles: the template is cut from what the model's own template writes, or refused."""

from pathlib import Path

import pytest

from agent_assets.conversations.messages import Message, ToolCall, ToolSchema
from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.engines.chat_templates.choice import HERMES, chat_template
from agent_assets.errors import ExportError
from agent_assets.export.ollama.modelfile import go_template, modelfile
from agent_assets.export.ollama.template_parts import template_parts

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
        expected = expected.replace(
            '{"province": "Anhui", "days": 2}', '{"province":"Anhui","days":2}'
        )
        expected = expected.replace('{"province": "江苏"}', '{"province":"江苏"}')
        assert parts.render(CONVERSATION, tools=tools) == expected


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
