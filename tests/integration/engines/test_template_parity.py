"""What is trained, what is served and what the data report shows are the same tokens, whatever the
tokenizer.

The chat template is always ours (base_model writes it into every base), so bases differ in their
tokenizer. Here: SmolLM2's and Qwen's (`<tool_call>` is one token there).
"""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from dashscope.tokenizers.qwen_tokenizer import QwenTokenizer

from agent_assets.conversations.formats import to_openai, to_swift
from agent_assets.conversations.messages import Conversation, Message, ToolCall
from agent_assets.conversations.rendered import RowRenderer
from agent_assets.conversations.tools import strict_openai_tools
from agent_assets.engines.environment import EngineEnv
from support.engine_programs import Programs, conversations
from support.qwen_tokenizer import ADDED, VOCABULARY, qwen_model, qwen_tokenizer

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).resolve().parents[3]


def hard_cases() -> list[Conversation]:
    """Texts whose ends could run together with what the template writes around them."""
    first, *_ = conversations()
    odd = [
        "",
        "\n",
        " two  spaces ",
        "ends with break\n\n",
        "\n\nstarts with break",
        "<tool_call>",
        "‘引号’ 🙂 e\u0301",
        "1.50",
    ]
    cases = []
    for text in odd:
        messages = (
            Message("system", text or "s"),
            Message("user", text or "q"),
            Message("assistant", text.strip(), (ToolCall("get_time", {}, "call_1"),)),
            Message("tool", text, tool_call_id="call_1"),
            Message("assistant", text.strip() or "a"),
        )
        cases.append(Conversation(messages, first.tools))
    return cases


@pytest.mark.parametrize("family", ["smollm2", "qwen"])
def test_training_serving_and_report_agree_token_for_token(
    engine_env: EngineEnv, tiny_model: Path, tmp_path: Path, family: str
) -> None:
    model = qwen_model(tmp_path / "qwen", tiny_model) if family == "qwen" else tiny_model
    cases = [*conversations(), *hard_cases()]
    rows = [to_swift(case) for case in cases]
    chats = []
    for case in cases:
        messages = to_openai(case)["messages"]
        for message in messages:
            for called in message.get("tool_calls") or []:
                called["function"]["arguments"] = json.loads(called["function"]["arguments"])
        chats.append({"messages": messages, "tools": strict_openai_tools(case.tools) or None})
    with Programs(engine_env, tmp_path / "programs.log") as programs:
        renderings = programs(tmp_path, "render", str(model), rows, chats)
    renderer = RowRenderer(model)
    for rendering, row in zip(renderings, rows, strict=True):
        assert rendering["same"], (rendering["trained"], rendering["served"])
        shown = renderer.render(row)
        assert shown.ids == rendering["ids"]
        assert shown.learned == rendering["mask"], rendering["learned"]
        assert "".join(text for text, _ in shown.runs()) == shown.text
        learned = "".join(text for text, is_learned in shown.runs() if is_learned)
        assert unicodedata.normalize("NFC", learned) == unicodedata.normalize(
            "NFC", rendering["learned"]
        )  # Qwen's composes
        assert rendering["learned"].endswith("<|im_end|>\n")


def test_the_tokenizer_used_here_is_qwens() -> None:
    ours, own = qwen_tokenizer(), QwenTokenizer(str(VOCABULARY))  # type: ignore[no-untyped-call]
    texts = [
        path.read_text(encoding="utf-8")
        for path in sorted(REPOSITORY.glob("agent_assets/defs/*/*.yaml"))
    ]
    texts += [
        message.content for case in [*conversations(), *hard_cases()] for message in case.messages
    ]
    assert len(texts) > 20 and any("四川" in text for text in texts)
    for text in texts:
        plain = re.sub(
            "|".join(map(re.escape, ADDED)), " ", text
        )  # tokens of later models, unknown to that package
        assert ours.encode(plain).ids == own.encode(plain)
    assert ours.token_to_id("<|im_end|>") == own.im_end_id
    assert (ours.token_to_id("<tool_call>"), ours.get_vocab_size()) == (
        151657,
        151669,
    )  # as Qwen 3 has them
