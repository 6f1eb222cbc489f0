"""Canonical JSON: one text for one value, whichever of the two functions writes it."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_assets.conversations.messages import (
    Message,
    ToolCall,
    canonical_json,
    canonical_text_json,
    read_json_lines,
)
from agent_assets.conversations.row_parts import openai_message

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12
)


@settings(deadline=None)
@given(values)
def test_text_is_written_to_the_same_bytes_by_both(value: Any) -> None:
    assert canonical_text_json(value) == canonical_json(value).encode()


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028two\u2029three\x85four\x0bfive\r\nsix"}, {"text": "中"}]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(canonical_text_json(value) + b"\n" for value in rows) + b"\n")
    assert read_json_lines(path) == rows


def test_a_model_that_wrote_no_number_is_asked_on() -> None:
    call = ToolCall("get_price", {"day": float("nan")}, "c1")
    sent = openai_message(Message("assistant", "", (call,)), finite=False)
    assert json.loads(sent["tool_calls"][0]["function"]["arguments"]).keys() == {"day"}
    assert sent["content"] is None
