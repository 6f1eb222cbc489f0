"""The data report: what it says, that it is stable and safe, and which text it colours as
learned.
"""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.messages import Conversation, Message, ToolCall, ToolSchema
from agent_assets.conversations.rendering.rendered import RowRenderer
from agent_assets.engines.chat_templates.choice import chat_template
from agent_assets.evaluation.pages.data_report import (
    Bar,
    data_report,
    histogram,
    lengths_of,
    render_rows,
)

TIME = ToolSchema("get_time", "The time.", {"type": "object", "properties": {}})
ATTACK = "<script>alert(1)</script>"
COVERAGE: dict[str, Any] = {
    "exchanges": 1,
    "heldout": 2,
    "rejected": 1,
    "rejected_by_reason": {"not_grounded": 1},
    "calls_by_tool": {"get_time": 1},
    "by_kind": {"tool": 1},
    "by_language": {"en": 1},
    "parameters": {
        "f": {"unit": {"given": 3, "left_out": 1, "different_values": 2, "values": {"kwh": 3}}}
    },
    "uncovered": {"memories": "2 left out"},
    "needs_values": {
        "f": {
            "failed": 9,
            "empty": 1,
            "calls": 10,
            "parameters": ["unit"],
            "sources": {"unit": "list_units"},
        }
    },
}


def renderer(folder: Path) -> RowRenderer:
    tokenizer = Tokenizer(
        models.BPE(
            vocab={c: n for n, c in enumerate(pre_tokenizers.ByteLevel.alphabet())}, merges=[]
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(chat_template(), encoding="utf-8")
    return RowRenderer(folder)


def row(question: str = "What time is it?") -> dict[str, Any]:
    messages = (
        Message("system", "Be brief."),
        Message("user", question),
        Message("assistant", "Let me look.", (ToolCall("get_time", {}, "1"),)),
        Message("tool", "10:00", tool_call_id="1"),
        Message("assistant", "Ten. 十点。"),
    )
    swift = to_swift(Conversation(messages, (TIME,)))
    return swift | {"id": "tools-0000", "kind": "tools", "sources": ["m-1"], "question_ids": ["q"]}


def page(folder: Path, rows: list[dict[str, Any]], *, max_length: int = 2048) -> str:
    rendered = render_rows(rows, renderer(folder))
    return data_report(
        "p/anna", rows, [], COVERAGE, rendered, model="base_model abc", max_length=max_length
    )


def test_learned_are_the_words_and_calls_of_the_assistant_and_the_end_of_its_turns(
    tmp_path: Path,
) -> None:
    (shown,) = renderer(tmp_path).sequences(row())
    learned = "".join(text for text, is_learned in shown.runs() if is_learned)
    assert learned == (
        'Let me look.\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call><|im_end|>\n'
        "Ten. 十点。<|im_end|>\n"
    )
    assert "".join(text for text, _ in shown.runs()) == shown.text
    assert len(shown.ids) == len(shown.loss_mask)
    # One token a byte, and one for each of the two end tokens: the mask is as long as what is
    # learned.
    assert sum(shown.loss_mask) == len(learned.replace("<|im_end|>", "|").encode())


def test_the_page_says_what_there_is_and_runs_nothing(tmp_path: Path) -> None:
    text = page(tmp_path, [row(ATTACK)])
    assert ATTACK not in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    for expected in (
        "not grounded",
        "get_time",
        "kwh 3",
        "memories</code> (2 left out)",
        "9 of 10",
        "unit: {from_tool: list_units}",
        "m-1",
        "base_model abc",
        "<mark>",
    ):
        assert expected in text, expected
    assert "None is longer than the 2048 tokens" in text
    assert "1 rows are longer than 10 tokens" in page(tmp_path, [row()], max_length=10)
    assert page(tmp_path, [row()]) == page(tmp_path, [row()])


def test_without_a_base_model_it_says_that_nothing_was_counted() -> None:
    text = data_report("p", [row()], [], COVERAGE, [], model="", max_length=10)
    assert "their tokens were not counted" in text


def test_lengths_and_their_histogram(tmp_path: Path) -> None:
    lengths = lengths_of(render_rows([row(), row("longer " * 50)], renderer(tmp_path)))
    summary = lengths.summary()
    assert summary["tokens"] == sum(lengths.counts)
    assert summary["row_tokens_max"] == max(lengths.counts)
    assert 0 < summary["tokens_learned"] < summary["tokens"]
    bars = histogram(lengths.counts)
    assert (bars[0].amount, bars[-1].amount, sum(bar.amount for bar in bars)) == (1, 1, 2)
    assert histogram([5, 5]) == [Bar("5–5", 2, 1.0)]
