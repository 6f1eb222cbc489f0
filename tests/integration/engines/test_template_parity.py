"""What is trained, what is served and what the data report shows are the same tokens, whatever the tokenizer.

The chat template is always ours (base_model writes it into every base), so bases differ in their tokenizer. Here:
SmolLM2's own, and one built with Qwen's rules (its pre-tokenizer pattern, its added tokens, `<tool_call>` among them as
one token each) over a vocabulary trained on a few lines: Qwen's files are in no package of the engine environment.
"""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from test_programs import Programs, conversations
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from agent_assets.conversations.formats import to_openai, to_swift
from agent_assets.conversations.messages import Conversation, Message, ToolCall
from agent_assets.conversations.tools import strict_openai_tools
from agent_assets.engines.environment import EngineEnv
from agent_assets.synthesis.rendered import RowRenderer

pytestmark = pytest.mark.engine

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_ADDED = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def qwen_model(folder: Path, tiny: Path) -> Path:
    shutil.copytree(tiny, folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = [
        "\n\n# Tools\nsystem user assistant",
        '{"name": "get_time", "arguments": {}}\n',
        "价格：四川 湖北\n\n",
    ] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in QWEN_SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in QWEN_ADDED])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


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
        found = programs(tmp_path, "render", str(model), rows, chats)
    renderer = RowRenderer(model)
    for one, row in zip(found, rows, strict=True):
        assert one["same"], (one["trained"], one["served"])
        shown = renderer.render(row)
        assert shown.ids == one["ids"]
        assert shown.learned == one["mask"], one["learned"]
        assert "".join(text for text, _ in shown.runs()) == shown.text
        learned = "".join(text for text, is_learned in shown.runs() if is_learned)
        assert unicodedata.normalize("NFC", learned) == unicodedata.normalize("NFC", one["learned"])  # Qwen's composes
        assert one["learned"].endswith("<|im_end|>\n")
