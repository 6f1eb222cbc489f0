"""Base models that speak by their own chat template, family by family: what is trained is what
vLLM's server renders, learned are the assistant's turns alone, and vLLM's parser reads the calls
that are learned. Families that agents cannot speak by are refused, with the reason.

The templates are the real ones, read from installed packages; weights and tokenizers are tiny.
"""

import asyncio
import json
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_assets.agent.answer_turn import answering_model
from agent_assets.agent.chat_model import request_body
from agent_assets.conversations.formats import from_swift, to_swift
from agent_assets.conversations.messages import Conversation, Message
from agent_assets.conversations.reasoning import spoken
from agent_assets.conversations.rendering.native_rows import one_call_each
from agent_assets.conversations.rendering.rendered import RowRenderer
from agent_assets.conversations.rendering.template_environment import TEMPLATE_FILE
from agent_assets.engines.chat_templates.choice import OWN_TEMPLATE_FILE, chat_template
from agent_assets.engines.environment import EngineEnv, engine_environment
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.choice import SERVER
from agent_assets.engines.servers.serve import serve_model
from support.engine_programs import conversations

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / ".venvs" / "test-templates" / "trl" / "chat_templates"
PROGRAM = ROOT / "tests" / "support" / "native_runs.py"
PARSERS = {
    "qwen2_5": "hermes",
    "qwen3": "hermes",
    "qwen3_thinks": "hermes",
    "llama3_1": "llama3_json",
    "llama3_2": "llama3_json",
    "mistral_v13": "mistral",
}
ONE_CALL = {"llama3_1", "llama3_2"}
NO_SYSTEM = (
    "{% for message in messages if message.role != 'system' %}<|im_start|>{{ message.role }}\n"
    "{{ tools | tojson if loop.first }}{{ message.content }}<|im_end|>\n{% endfor %}"
)
CASES: dict[str, dict[str, Any]] = {
    "qwen2_5": {"family": "qwen2_5"},
    "qwen3": {"family": "qwen3"},
    "qwen3_thinks": {"family": "qwen3", "thinking": True},
    "llama3_1": {"family": "llama3_1"},
    "llama3_2": {"family": "llama3_2", "pad": False},
    "mistral_v13": {"family": "mistral_v13"},
    "mistral_v7": {"family": "mistral_v7"},
    "gemma3": {"family": "gemma3"},
    "smollm2": {"family": "smollm2"},
    "no_system": {"family": "qwen2_5", "template": NO_SYSTEM},
    "broken": {"family": "qwen2_5", "template": "{% if %}"},
    "qwen2_5_thinks": {"family": "qwen2_5", "thinking": True},
    "qwen2_5_compact": {"family": "qwen2_5", "chat_template": "hermes"},
    "smollm2_compact": {"family": "smollm2", "chat_template": "hermes"},
}


def shapes() -> list[Conversation]:
    """Every shape that a row can have, with tools as artifacts hold them: their keys are sorted."""
    return [from_swift(to_swift(case)) for case in conversations()]


def requests_of(conversation: Conversation) -> list[dict[str, Any]]:
    """What agents ask a server for each turn of a conversation."""
    said = [spoken(message) for message in conversation.messages]
    return [
        dict(request_body(said[:number], conversation.tools))
        for number, message in enumerate(conversation.messages)
        if message.role == "assistant"
    ]


def turns(conversation: Conversation, family: str) -> list[list[list[Any]]]:
    """Name and arguments of the calls of each turn."""
    if family in ONE_CALL:
        conversation = one_call_each(conversation)
    return [
        [[call.name, call.arguments] for call in message.tool_calls]
        for message in conversation.messages
        if message.role == "assistant"
    ]


@pytest.fixture(scope="module")
def spoken_by(
    engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What each family's model makes of every shape that a row can have."""
    assert TEMPLATES.is_dir(), "run deploy/test-environments.sh"
    folder = tmp_path_factory.mktemp("native")
    asked, answer, log = (folder / name for name in ("asked.json", "answer.json", "log"))
    cases = shapes()
    apart = [one_call_each(case) for case in cases]
    requests = [body for case in [*cases, *apart] for body in requests_of(case)]
    request = {
        "folder": str(folder),
        "templates": str(TEMPLATES),
        "cases": CASES,
        "rows": [to_swift(case) for case in cases],
        "requests": requests,
        "trained": "qwen2_5",
    }
    asked.write_text(json.dumps(request), encoding="utf-8")
    with log.open("wb") as output:
        done = subprocess.run(
            [str(engine_env.python), str(PROGRAM), str(asked), str(answer)],
            env=engine_environment({"VLLM_PLUGINS": "none"}),
            stdout=output,
            stderr=output,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, log.read_text(encoding="utf-8", errors="replace")[-4000:]
    answers: dict[str, dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))
    return answers


@pytest.mark.parametrize("family", PARSERS)
def test_every_learned_turn_stands_behind_the_prompt_that_is_served(
    spoken_by: dict[str, dict[str, Any]], family: str
) -> None:
    answer = spoken_by[family]
    assert "error" not in answer, answer["error"]
    asked_for = set()
    for sequence in (sequence for row in answer["taught"] for sequence in row):
        ids, mask = sequence["ids"], sequence["mask"]
        begins = [n for n in range(1, len(mask)) if mask[n] and not mask[n - 1]]
        assert len(begins) == len(sequence["turns"])
        asked_for |= {tuple(ids[:begin]) for begin in begins}
    plain = sum(len(requests_of(case)) for case in shapes())
    prompts = answer["prompts"] if family in ONE_CALL else answer["prompts"][:plain]
    assert asked_for >= set(map(tuple, prompts))
    if family not in ONE_CALL:
        assert asked_for == set(map(tuple, prompts))


@pytest.mark.parametrize("family", PARSERS)
def test_the_parser_reads_every_call_that_is_learned(
    spoken_by: dict[str, dict[str, Any]], family: str
) -> None:
    answer = spoken_by[family]
    assert answer["parser"] == PARSERS[family]
    for case, row in zip(shapes(), answer["taught"], strict=True):
        read = [calls for sequence in row for calls in sequence["calls"]]
        assert read == turns(case, family)


@pytest.mark.parametrize("family", PARSERS)
def test_a_report_counts_the_tokens_that_are_trained(
    spoken_by: dict[str, dict[str, Any]], family: str
) -> None:
    renderer = RowRenderer(Path(spoken_by[family]["folder"]))
    for case, row in zip(shapes(), spoken_by[family]["taught"], strict=True):
        shown = renderer.sequences(to_swift(case))
        assert [text.ids for text in shown] == [sequence["ids"] for sequence in row]
        assert [text.loss_mask for text in shown] == [sequence["mask"] for sequence in row]


def test_only_what_the_assistant_writes_is_learned(spoken_by: dict[str, dict[str, Any]]) -> None:
    def learned(family: str) -> list[str]:
        return [turn for sequence in spoken_by[family]["taught"][0] for turn in sequence["turns"]]

    call = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call><|im_end|>'
    answer = "It is ten o'clock.<|im_end|>"
    assert learned("qwen2_5") == [call, answer]
    assert learned("qwen3") == [call, answer]  # the empty thoughts stand in the prompt
    empty = "<think>\n\n</think>\n\n"
    assert learned("qwen3_thinks") == [empty + call, empty + answer]
    assert learned("llama3_2") == [
        '{"name": "get_time", "parameters": {}}<|eot_id|>',
        "It is ten o'clock.<|eot_id|>",
    ]
    assert learned("mistral_v13") == ["[TOOL_CALLS]get_time[ARGS]{}</s>", "It is ten o'clock.</s>"]


def test_thoughts_of_earlier_turns_make_a_row_several_texts(
    spoken_by: dict[str, dict[str, Any]],
) -> None:
    assert [len(row) for row in spoken_by["qwen2_5"]["taught"]] == [1, 1, 1, 1, 1, 1, 1]
    assert [len(row) for row in spoken_by["qwen3"]["taught"]] == [2, 2, 3, 5, 1, 1, 1]


def test_beside_our_template_lies_the_one_by_which_an_untrained_model_speaks_best(
    spoken_by: dict[str, dict[str, Any]],
) -> None:
    own, native = (Path(spoken_by[name]["folder"]) for name in ("qwen2_5_compact", "qwen2_5"))
    assert (own / TEMPLATE_FILE).read_text(encoding="utf-8") == chat_template()
    assert (own / OWN_TEMPLATE_FILE).read_bytes() == (native / TEMPLATE_FILE).read_bytes()
    assert OWN_TEMPLATE_FILE not in spoken_by["smollm2_compact"]["files"]  # it knows no tools


def test_an_agent_is_trained_served_and_calls_a_tool(
    spoken_by: dict[str, dict[str, Any]], engine_env: EngineEnv, tmp_path: Path
) -> None:
    agent = spoken_by["qwen2_5"]
    assert agent["tokens"] == 2 * agent["text_tokens"]  # two epochs: nothing more is computed
    assert agent["loss"] < 0.5  # what it knew by heart is what ms-swift is told to teach
    system, question, call, result, answer = shapes()[0].messages
    tools = shapes()[0].tools

    async def ask(base_url: str) -> tuple[Message, Message, Message]:
        agent_model = partial(answering_model, base_url, "agent", max_tokens=64, timeout_s=60)
        other = {"chat_template": "<|im_start|>{{ messages[1].content }}"}
        async with agent_model() as model, agent_model(extra_body=other) as otherwise:
            called = await model.complete([system, question], tools)
            found = replace(result, tool_call_id=called.tool_calls[0].id)
            answered = await model.complete([system, question, called, found], tools)
            return called, answered, await otherwise.complete([system, question], tools)

    with serve_model(
        SERVER,
        env=engine_env,
        model_dir=Path(agent["folder"]),
        log_dir=tmp_path / "logs",
        limits=EngineLimits(seconds=300, memory_bytes=8 * 2**30),
        max_model_len=2048,
        adapters={"agent": Path(agent["adapter"])},
        templates_of_requests=True,
    ) as endpoint:
        called, answered, otherwise = asyncio.run(ask(endpoint.base_url))
    assert [(made.name, made.arguments) for made in called.tool_calls] == [("get_time", {})]
    assert called.content == call.content
    assert answered.content == answer.content and not answered.tool_calls
    assert otherwise.usage is not None and otherwise.usage.prompt_tokens < 30


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("gemma3", "The chat template of source shows the model no tools."),
        ("smollm2", "shows the model no tools."),
        ("mistral_v7", "writes the ids of calls, which a server makes up anew for each."),
        ("no_system", "drops the system prompt."),
        ("broken", "is no Jinja template"),
        ("qwen2_5_thinks", "does not ask whether to think (`enable_thinking`)"),
    ],
)
def test_a_model_that_agents_cannot_speak_by_is_refused(
    spoken_by: dict[str, dict[str, Any]], family: str, reason: str
) -> None:
    assert reason in spoken_by[family]["error"]
    assert "Next:" in spoken_by[family]["error"]


def test_a_tokenizer_without_a_token_that_pads_gets_the_one_that_ends(
    spoken_by: dict[str, dict[str, Any]],
) -> None:
    assert spoken_by["llama3_2"]["padding"] == "<|eot_id|>"
    assert spoken_by["llama3_1"]["padding"] is None
    folder = Path(spoken_by["llama3_2"]["folder"])
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["pad_token"] == "<|eot_id|>"
