"""Failures that servers send as answers, and answers that only sound like failures."""

import json
from dataclasses import replace

import pytest

from agent_assets.agent.loop import ERROR_PREFIX
from agent_assets.conversations.messages import JsonObject, Message, ToolCall, ToolSchema
from agent_assets.conversations.validation import RejectReason
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.failing_tools import reject_failures, tools_in_need
from agent_assets.synthesis.tasks.script import Script, fixed_answer
from agent_assets.synthesis.tasks.task import Task
from agent_assets.text.failures import CalledTool, says_failure

# Tool, arguments and result, as real servers answer.
FAILURES: list[tuple[str, JsonObject, object]] = [
    ("get_document_info", {"filename": "harbor"}, "Document harbor.docx does not exist"),
    (
        "add_table",
        {"filename": "paper"},
        {"success": False, "message": "Cannot modify document: paper.docx is locked"},
    ),
    ("get_slide_info", {"slide_index": 3}, {"error": "No presentation is currently loaded"}),
    ("read_query", {"query": "river"}, 'Database error: near "river": syntax error'),
    ("calculate", {"expression": "north"}, "Error: name 'north' is not defined"),
    ("query", {"query": "copper"}, "duckdb.ParserException: syntax error at or near copper"),
    ("get_entity", {"entity_id": 7}, "Entity with entity_id 7 not found"),
    ("describe_table", {"table_name": "alpha"}, "Table 'alpha' not found."),
    ("open_file", {"path": "a/b"}, "ENOENT: no such file or directory, open 'a/b'"),
    ("move", {"square": "z9"}, "Invalid square: z9"),
    ("read_sheet", {"file": "x"}, "Failed to read x: unsupported format"),
    ("fetch_issue", {"issue": "K-1"}, {"status": "error", "message": "issue K-1 is unknown"}),
    ("load", {"source": "x1"}, {"isError": True, "content": [{"type": "text", "text": "boom"}]}),
    ("graph", {"query": "{a}"}, {"errors": [{"message": "Cannot query field a"}], "data": None}),
    ("run", {"code": "1/0"}, "Traceback (most recent call last):\n  File ...\nZeroDivisionError"),
    ("save", {"name": "n"}, {"result": {"ok": False}}),
    ("get_user", {"user": "bob"}, {"error": {"code": 404, "message": "no bob"}, "user": "bob"}),
    ("get_user", {"user": "bob"}, [{"error": "bob is unknown"}]),
    (
        "get_template_info",
        {"template_id": "copper"},
        {"error": "Template 'copper' not found", "available_templates": ["agenda", "title"]},
    ),
    (
        "read_multiple_files",
        {"paths": ["a.txt", "b.txt"]},
        "a.txt: Error - ENOENT: no such file or directory\n---\n"
        "b.txt: Error - ENOENT: no such file or directory",
    ),
    (
        "get_users",
        {"ids": ["ann", "bob"]},
        [{"error": "user ann not found"}, {"error": "user bob not found"}],
    ),
    ("sheet", {"workbook": "a"}, "No workbook is currently open"),
    ("resize", {"width": 5}, "width must be at least 16"),
    ("read_note", {"note": "shopping"}, "错误：找不到笔记 shopping"),
    ("read_note", {"note": "shopping"}, "笔记 shopping 不存在"),
    ("get_forecast", {"city": "Bonn"}, "Access denied"),
]
ANSWERS: list[tuple[str, JsonObject, object]] = [
    ("list_issues", {"repository": "harbor"}, "No open issues"),
    ("search_notes", {"query": "river"}, "No results found for 'river'."),
    ("search_notes", {"query": "river"}, "没有找到 river"),
    ("search", {"query": "error"}, {"results": [], "error": None, "success": True}),
    ("list_errors", {}, {"errors": [], "count": 0}),
    ("lint", {"file": "a.py"}, {"errors": ["a.py:3: missing semicolon"], "warnings": []}),
    ("get_build", {"build": 17}, {"build": 17, "status": "failed", "duration": 12, "by": "ann"}),
    ("get_build", {"build": 17}, "Build 17 failed after 12 minutes: 3 of 40 tests"),
    ("run_tests", {"suite": "unit"}, {"success": False, "passed": 37, "failures": 3}),
    ("validate_email", {"address": "a@b"}, "a@b is not a valid address"),
    ("check_domain", {"domain": "x.org"}, {"domain": "x.org", "valid": False}),
    ("tail_log", {"lines": 2}, "ERROR: disk full\nINFO: retrying\nERROR: disk full"),
    (
        "get_entry",
        {"id": 4},
        {"level": "error", "error": "disk full", "host": "db1", "time": "2025-01-01"},
    ),
    (
        "read_file",
        {"path": "guide.md"},
        "# Error handling\n\nA call fails when its file does not exist. Error: tells why.\n" * 9,
    ),
    (
        "read_text_file",
        {"path": "diary.txt"},
        "We could not sleep. The ship failed to arrive, and nobody knew why.",
    ),
    ("read_file", {"path": "faq.txt"}, "Common error: forgetting the key. " * 60),
    ("get_author", {"title": "Beowulf"}, "The author of Beowulf is unknown."),
    ("visa_rules", {"country": "China"}, "A visa is required for China."),
    ("set_flag", {"flag": "dark"}, "Flag dark was set."),
    ("convert_time", {"time": "10:00"}, {"source": "10:00", "target": "16:00", "error": ""}),
    ("list_errors", {"days": 7}, [{"error": "disk full"}, {"error": "no route"}]),
    ("get_rate", {"currency": "EUR"}, 0.0),
    ("is_prime", {"number": 9}, False),
    ("error_rate", {"days": 7}, "Error rate: 0.3%"),
    ("get_song", {"title": "Failure"}, "Failure, by the Nines, 1994"),
]


def _text(result: object) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


@pytest.mark.parametrize(("tool", "arguments", "result"), FAILURES)
def test_a_failure_sent_as_an_answer_is_recognised(
    tool: str, arguments: JsonObject, result: object
) -> None:
    assert says_failure(_text(result), CalledTool(tool, arguments))


@pytest.mark.parametrize(("tool", "arguments", "result"), ANSWERS)
def test_an_answer_about_failures_is_an_answer(
    tool: str, arguments: JsonObject, result: object
) -> None:
    assert not says_failure(_text(result), CalledTool(tool, arguments))


def example(tool: str, arguments: JsonObject, result: str) -> Example:
    """A call and its result, kept so far."""
    question = Question(f"{tool}-{arguments}", "?", "en", (tool,), "train", "w", wording_seen=True)
    task = Task(question, "tool", "", (), Script((), fixed_answer("")))
    call = ToolCall(tool, arguments, "1")
    messages = (
        Message("user", "?"),
        Message("assistant", "", (call,)),
        Message("tool", result, tool_call_id="1"),
        Message("assistant", result),
    )
    return Example(task, messages, ())


NAMES = ("alpha", "river", "north", "garden", "copper", "window")


def kept(examples: list[Example]) -> list[str]:
    return [each.results[0] for each in reject_failures(examples) if not each.rejections]


def test_equal_complaints_for_all_arguments_are_failures() -> None:
    examples = [example("fill", {"form": name}, f"Please sign in to see {name}") for name in NAMES]
    assert kept(examples) == []
    rejected = reject_failures(examples)[0].rejections
    assert [rejection.reason for rejection in rejected] == [RejectReason.OBSERVATION_IS_ERROR]
    assert kept(examples[:3]) == [each.results[0] for each in examples[:3]]  # no pattern yet


@pytest.mark.parametrize(
    "answer", ["Saved.", "No open issues", "[]", "There are no notes on this", "Deleted {}."]
)
def test_equal_answers_for_all_arguments_are_answers(answer: str) -> None:
    examples = [example("act", {"name": name}, answer.format(name)) for name in NAMES]
    assert len(kept(examples)) == len(NAMES)


def test_one_document_about_failures_is_one_answer_however_often_it_is_read() -> None:
    text = "The pump failed to start, and its valve was not open."
    read = [example("read", {"path": "faults.md", "head": lines}, text) for lines in range(9)]
    others = [example("read", {"path": f"{name}.md"}, name) for name in NAMES]
    assert len(kept([*read, *others])) == 15
    missing = [
        example("read", {"path": f"{name}.txt"}, f"ENOENT: no such file, open '{name}.txt'")
        for name in (*NAMES, "harbor", "silver")
    ]
    assert kept([*missing, *read]) == [text] * 9


def test_a_tool_that_never_finds_anything_needs_values_and_keeps_its_answers() -> None:
    schema = ToolSchema("find", "", {"properties": {"name": {"type": "string"}}})
    nothing = [example("find", {"name": name}, f"No notes on {name}") for name in NAMES]
    assert len(kept(nothing)) == len(NAMES)
    need = tools_in_need(nothing, [schema])["find"]
    assert (need.failed, need.empty, need.parameters) == (0, 6, ("name",))
    saved = [example("find", {"name": name}, "Saved.") for name in NAMES]
    assert tools_in_need(saved, [schema]) == {}
    assert tools_in_need([*nothing, example("find", {"name": "oak"}, "3 oaks")], [schema]) == {}


def test_what_a_failing_tool_says_otherwise_is_judged_more_strictly() -> None:
    failing = [
        example("style", {"filename": name}, f"Document {name} does not exist")
        for name in (*NAMES, "harbor", "silver")
    ]
    odd = example("style", {"filename": "paper"}, "The style was not applied to paper")
    good = example("style", {"filename": "real.docx"}, "Heading 1, Heading 2")
    assert kept([*failing, odd, good]) == ["Heading 1, Heading 2"]
    assert len(kept([odd, good])) == 2


def test_a_tool_that_fails_names_the_parameters_that_need_values() -> None:
    text = {"type": "string"}
    read = ToolSchema(
        "read_document",
        "",
        {
            "properties": {
                "document_name": text,
                "style": {"enum": ["a", "b"]},
                "note": text,
                "page": {"type": "integer"},
            },
            "required": ["document_name"],
        },
    )
    listing = ToolSchema("list_documents", "", {"properties": {}})
    examples = [
        example(
            "read_document",
            {"document_name": name, "style": "a", "note": "x", "page": 1},
            f"Document {name} does not exist",
        )
        for name in NAMES
    ]
    need = tools_in_need(examples, [read, listing])["read_document"]
    assert need.parameters == ("document_name",)
    assert need.sources == {"document_name": "list_documents"}
    assert (need.failed, need.calls) == (6, 6)
    assert "document_name" in need.reason()


def test_a_tool_without_values_to_give_lacks_something_else() -> None:
    examples = [example("status", {}, ERROR_PREFIX + "no engine")]
    need = tools_in_need(examples, [ToolSchema("status", "", {})])["status"]
    assert need.parameters == ()
    assert "lacks something" in need.reason()


def test_examples_rejected_for_another_reason_stay_as_they_are() -> None:
    first = example("style", {"filename": "alpha"}, "Document alpha does not exist")
    rejected = replace(first, rejections=reject_failures([first])[0].rejections)
    assert reject_failures([rejected]) == [rejected]
