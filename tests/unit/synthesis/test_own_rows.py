"""Rows of one's own: which are trained on, which held out, which rejected and why; and files that
are too large or not what they seem.
"""

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agent_assets.conversations.formats import from_swift, to_openai, to_sharegpt, to_swift
from agent_assets.conversations.messages import (
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    ToolSchema,
)
from agent_assets.errors import ConfigError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages import train_jsonl
from agent_assets.synthesis.config import ColumnsConfig, RowsConfig
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.own import own_examples, own_rows
from agent_assets.synthesis.rows.own_files import MOST_BYTES, OwnRow, read_own_rows
from agent_assets.synthesis.teachers.run import rules_of

PRICE = ToolSchema(
    "get_price",
    "The price of a day.",
    {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "market": {"type": "string", "enum": ["spot", "futures"]},
        },
        "required": ["day"],
    },
)
OTHER = ToolSchema("get_weather", "The weather.", {"type": "object", "properties": {}})
COLUMNS = ColumnsConfig(question="q", answer="a")


class Market:
    """A server whose prices are what the day says: 2025-01-07 costs 7."""

    def __init__(self, *, read_only: bool = True) -> None:
        self.annotations = {"get_price": {"read_only": read_only}}
        self.calls: list[ToolCall] = []

    async def call(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        return ToolResult(price_on(call.arguments["day"]))


def price_on(day: str) -> str:
    return f"price {int(day[-2:])}"


def asked(day: str, *, result: str | None = None, tool: ToolSchema = PRICE) -> Conversation:
    call = ToolCall(tool.name, {"day": day, "market": "spot"}, "call_1")
    messages = (
        Message("user", f"What did it cost on {day}?"),
        Message("assistant", "", (call,)),
        Message("tool", price_on(day) if result is None else result, tool_call_id="call_1"),
        Message("assistant", f"It was {price_on(day)}."),
    )
    return Conversation(messages, (tool,))


def told(question: str, answer: str) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)))


def examples(
    rows: Iterable[Conversation | OwnRow],
    *,
    made: Sequence[Example] = (),
    market: Market | None = None,
    **settings: Any,
) -> list[Example]:
    config = RowsConfig.model_validate({"sources_heldout_share": 0.0, **settings})
    own = [
        row if isinstance(row, OwnRow) else OwnRow(f"file, row {number}", row)
        for number, row in enumerate(rows, start=1)
    ]
    return asyncio.run(
        own_examples(
            own,
            made,
            tools=[PRICE],
            toolbox=market or Market(),
            config=config,
            rules=rules_of(config, by_script=True),
            system="Be brief.",
        )
    )


def reasons(example: Example) -> list[str]:
    return [str(reason.reason) for reason in example.rejections]


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_good_row_is_executed_and_trained_on_with_the_tools_of_the_server() -> None:
    old = ToolSchema(PRICE.name, "an older description", {})
    market = Market()
    (example,) = examples([Conversation(asked("2025-01-07").messages, (old,))], market=market)
    assert reasons(example) == []
    assert [call.arguments["day"] for call in market.calls] == ["2025-01-07"]
    (row,) = own_rows([example])
    assert row["kind"] == "own"
    read = from_swift(row)
    assert read.tools == (PRICE,)
    assert read.messages[0] == Message("system", "Be brief.")


def test_what_cannot_be_trained_on_says_where_it_stands_and_why() -> None:
    rows: list[Conversation | OwnRow] = [
        asked("2025-01-07", result="price 8"),
        asked("2025-01-08", tool=OTHER),
        Conversation(told("Hello there?", "Hello.").messages, (OTHER,)),
        told("And what is this?", ""),
        told("A long one?", "word " * 9000),
        told("A bad one?", "secret words"),
        Conversation((Message("user", "Only a question?"),)),
        OwnRow("file, row 8", None, "not JSON (JSONDecodeError)"),
    ]
    rejected = examples(rows, banned=["secret"])
    assert [reasons(example) for example in rejected] == [
        ["observation_differs"],
        ["unknown_tool"],
        ["unknown_tool"],
        ["empty"],
        ["too_long", "too_long"],
        ["banned"],
        ["no_answer"],
        ["not_a_row"],
    ]
    assert rejected[0].rejections[0].detail == "file, row 1: get_price"
    assert rejected[1].rejections[0].detail == "file, row 2: 'get_weather' is not among the 1 tools"


def test_results_that_are_failures_are_not_learned() -> None:
    (example,) = examples([asked("2025-01-07", result="Error: no such day")])
    assert "observation_is_error" in reasons(example)


def test_a_tool_that_may_change_things_is_not_called() -> None:
    market = Market(read_only=False)
    (example,) = examples([asked("2025-01-07", result="booked")], market=market)
    assert (reasons(example), market.calls) == ([], [])


def test_the_same_row_is_trained_on_once() -> None:
    first, second = told("Who are you?", "An expert."), told("Who are you?", "Nobody.")
    assert [reasons(one) for one in examples([first, first, second])] == [
        [],
        ["duplicate"],
        ["duplicate"],
    ]
    assert reasons(examples([first], made=examples([first]))[0]) == ["duplicate"]


def test_equal_calls_are_on_one_side() -> None:
    days = [f"2025-{month:02}-{day:02}" for month in range(1, 9) for day in range(1, 26)]
    rows = [asked(day) for day in days]
    again = [
        Conversation((Message("user", f"Again, {day}?"), *asked(day).messages[1:]), (PRICE,))
        for day in days
    ]
    split = examples([*rows, *again], sources_heldout_share=0.2)
    sides = [example.task.question.split for example in split]
    assert 20 < sides.count("heldout") < 130
    assert sides[: len(rows)] == sides[len(rows) :]
    assert all(
        example.task.kind == "tool" for example in split if example.task.question.split != "train"
    )


def test_what_is_held_out_is_not_trained_on() -> None:
    words = Conversation((Message("user", "New?"), *asked("2025-01-07").messages[1:]), (PRICE,))
    held = examples([asked("2025-01-07")], sources_heldout_share=0.9999)
    assert held[0].task.question.split == "heldout"
    assert [reason.detail for reason in examples([words], made=held)[0].rejections] == [
        "file, row 1: a held-out item makes the same calls"
    ]
    trained = examples([asked("2025-01-07")])
    (again,) = examples([words], made=trained, sources_heldout_share=0.9999)
    assert [reason.detail for reason in again.rejections] == [
        "file, row 1: training makes the same calls"
    ]


@pytest.mark.parametrize("convert", [to_swift, to_openai, to_sharegpt])
def test_every_row_format_is_read(tmp_path: Path, convert: Any) -> None:
    file = write_lines(tmp_path / "rows.jsonl", [convert(asked("2025-01-07"))])
    (row,) = read_own_rows([file], None)
    assert row == OwnRow("rows.jsonl, row 1", asked("2025-01-07"))


def test_a_bad_line_costs_itself(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps(to_swift(told("Who?", "I.\u2028Me.")), ensure_ascii=False).encode()
    file.write_bytes(b"\n".join([good, b"{", b"[1]", b"\xff", b'{"messages": 4}', b"", good]))
    rows = list(read_own_rows([file], None))
    assert [row.conversation is not None for row in rows] == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    assert rows[-1].place == "rows.jsonl, row 7"
    assert "secret" not in "".join(row.problem for row in rows)


def tables(folder: Path) -> list[Path]:
    """One table in each form."""
    records = [
        {"id": 1, "q": "Who?", "a": "NA"},
        {"id": 2, "q": 'A, "b"\nor c?', "a": "是"},
        {"id": 3, "q": None, "a": "4"},
    ]
    pl.DataFrame(records).write_csv(folder / "t.csv")
    pl.DataFrame(records).write_csv(folder / "t.tsv", separator="\t")
    pl.DataFrame(records).write_parquet(folder / "t.parquet")
    return [
        folder / "t.csv",
        folder / "t.tsv",
        folder / "t.parquet",
        write_lines(folder / "t.jsonl", records),
    ]


def test_tables_have_questions_and_answers(tmp_path: Path) -> None:
    for file in tables(tmp_path):
        rows = [row.conversation for row in read_own_rows([file], COLUMNS)]
        assert rows == [told("Who?", "NA"), told('A, "b"\nor c?', "是"), told("", "4")], file.name
    (first, *_) = read_own_rows(
        [tmp_path / "t.csv"], ColumnsConfig(question="q", answer="a", system="id")
    )
    assert first.conversation is not None
    assert first.conversation.messages[0] == Message("system", "1")


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    csv, _, parquet, _ = tables(tmp_path)
    wrong = ColumnsConfig(question="question", answer="a")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "latin.csv").write_bytes("q,a\nWer?,Müller\n".encode("latin-1"))
    (tmp_path / "empty.csv").write_bytes(b"")
    cases = [
        (csv, wrong, "t.csv has no column 'question'. Next: name one of id, q, a"),
        (parquet, wrong, "t.parquet has no column 'question'"),
        (csv, None, "t.csv is a table, and train_jsonl.columns does not say"),
        (tmp_path / "broken.parquet", COLUMNS, "broken.parquet cannot be read as Parquet"),
        (
            tmp_path / "latin.csv",
            COLUMNS,
            "latin.csv cannot be read as a table: UnicodeDecodeError",
        ),
        (tmp_path / "empty.csv", COLUMNS, "empty.csv cannot be read as a table: EmptyDataError"),
        (tmp_path / "rows.xlsx", COLUMNS, "rows.xlsx is no file of rows"),
    ]
    (tmp_path / "rows.xlsx").write_bytes(b"")
    for file, columns, says in cases:
        with pytest.raises(ConfigError) as raised:
            list(read_own_rows([file], columns))
        assert says in str(raised.value)


def test_a_file_of_two_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    with file.open("wb") as sparse:
        os.truncate(sparse.fileno(), 2 << 30)
    with pytest.raises(ConfigError, match=f"2147483648 bytes; at most {MOST_BYTES} are read"):
        list(read_own_rows([file], COLUMNS))
    many = pl.DataFrame({"q": "x", "a": pl.int_range(100_001, eager=True)})
    many.write_parquet(tmp_path / "many.parquet")
    with pytest.raises(ConfigError, match="100001 rows; at most 100000 are taken"):
        list(read_own_rows([tmp_path / "many.parquet"], COLUMNS))


def test_own_files_are_in_the_fingerprint_and_nothing_is_without_them(tmp_path: Path) -> None:
    (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    file = write_lines(tmp_path / "rows.jsonl", [to_swift(told("Who?", "I."))])

    def config(**rows: Any) -> dict[str, object]:
        pipeline = PipelineConfig.model_validate({"name": "x", "train_jsonl": rows})
        return dict(train_jsonl.config(PipelineSpec(pipeline, tmp_path)))

    assert not {"sources", "columns", "made_rows", "source_files"} & config().keys()
    before = config(sources=["rows.jsonl"])
    assert before == config(sources=["rows.jsonl"])
    write_lines(file, [to_swift(told("Who?", "You."))])
    assert config(sources=["rows.jsonl"]) != before
    with pytest.raises(ConfigError, match=r"names the file absent\.jsonl"):
        config(sources=["absent.jsonl"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"made_rows": False}, "name files in sources"),
        ({"made_rows": False, "sources": ["a.jsonl"], "mix": {}}, "leave mix out"),
    ],
)
def test_settings_that_leave_nothing(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RowsConfig.model_validate(settings)
