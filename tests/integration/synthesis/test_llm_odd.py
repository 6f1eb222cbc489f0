"""A language model that misbehaves, and tools that do: nothing of it becomes a training row that is
wrong.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.synthesis.questions.llm import AskedQuestion
from support.fake_openai import FakeOpenAI, Reply, calls, completion, escaped, fake_openai, says
from support.odd_results_server import ORDER
from support.odd_tools import build, odd, question, script
from support.synthesis_runs import elder_folder, pipeline_config, read_lines


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


def test_odd_results_are_data_errors_or_rejects(server: FakeOpenAI, tmp_path: Path) -> None:
    def asks(kind: str, answer: str) -> list[Reply]:
        return [calls(("report", {"kind": kind})), says(answer)]

    server.usual = script(
        {
            "Huge?": asks("huge", "It is too large."),
            "Image?": asks("image", "It is a picture."),
            "Error?": asks("error", "The archive is closed."),
            "Words?": asks("words", "All is well."),
            "Order?": asks("order", "The report holds an order, which I leave alone."),
            "Obeyed?": [
                *asks("order", "")[:1],
                calls(("lambda", {"depth": 9})),
                says("I am free in Lisbon."),
            ],
        }
    )
    names = ("Huge?", "Image?", "Error?", "Words?", "Order?", "Obeyed?")
    built = build(server, tmp_path / "b", odd(tmp_path), [question(name) for name in names])
    assert built.reasons == {
        "Huge?": ["observation_is_error"],
        "Error?": ["observation_is_error"],
        "Obeyed?": ["not_grounded"],
    }
    assert "xxxx" not in built.text()
    assert "[image]" in built.text() and "All is well." in built.text()
    roles = [m.role for row in built.conversations for m in row.messages if ORDER in m.content]
    assert roles == ["tool"]
    sent = [
        message
        for request in server.requests
        for message in request["messages"]
        if ORDER in str(message)
    ]
    assert {message["role"] for message in sent} == {
        "tool"
    }  # it never became an instruction of ours


def test_a_keyword_null_defaults_and_a_recursive_schema(server: FakeOpenAI, tmp_path: Path) -> None:
    tree = {"name": "root", "children": [{"name": "leaf", "children": []}]}
    server.usual = script(
        {
            "Plain?": [calls(("lambda", {})), says("It is fine.")],
            "Null?": [calls(("lambda", {"depth": None})), says("It is fine.")],
            "Tree?": [
                calls(("lambda", {"tree": tree}), ("lambda", {"depth": 2})),
                says("It is fine."),
            ],
            "Text?": [calls(("lambda", {"depth": "deep"})), says("It is fine.")],
            "Extra?": [calls(("lambda", {"width": 1})), says("It is fine.")],
            "Broken?": [calls(("lambda", '{"depth": 1')), says("It is fine.")],
            "Unknown?": [calls(("lamda", {})), says("It is fine.")],
        }
    )
    names = ("Plain?", "Null?", "Tree?", "Text?", "Extra?", "Broken?", "Unknown?")
    built = build(
        server, tmp_path / "b", odd(tmp_path), [question(name, "lambda") for name in names]
    )
    assert set(built.reasons) == {"Text?", "Extra?", "Broken?", "Unknown?"}
    arguments = [
        call.arguments for row in built.conversations for m in row.messages for call in m.tool_calls
    ]
    expected: list[JsonObject] = [{}, {"depth": None}, {"tree": tree}, {"depth": 2}]
    assert sorted(map(canonical_json, arguments)) == sorted(map(canonical_json, expected))


@pytest.mark.parametrize(
    "arguments",
    [
        '{"kind": NaN}',
        '{"kind": 1e999}',
        '{"kind": "\\ud83d"}',
        '{"kind": "\ud83d"}',
        '{"kind": ' + "1" * 5000 + "}",
    ],
    ids=["nan", "infinity", "escaped surrogate", "surrogate", "huge number"],
)
def test_arguments_that_no_server_can_be_sent_cost_one_question(
    server: FakeOpenAI, tmp_path: Path, arguments: str
) -> None:
    server.usual = script(
        {
            "Odd?": [escaped(calls(("report", arguments))), says("All is well.")],
            "Fine?": [calls(("report", {"kind": "words"})), says("All is well.")],
        }
    )
    for _ in range(2):  # made, and taken from the journal
        built = build(server, tmp_path / "b", odd(tmp_path), [question("Odd?"), question("Fine?")])
        assert built.summary["exchanges"] == 1
        assert built.reasons["Odd?"][0] == "observation_is_error"
    assert len(server.requests) == 4


def test_a_model_that_refuses_is_cut_or_never_ends_leaves_a_named_reject(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    again = calls(("report", {"kind": "words"}))
    server.usual = script(
        {
            "Refuse?": [completion({"content": None, "refusal": "I must not."})],
            "Filter?": [completion({"content": "All"}, finish="content_filter")],
            "Cut?": [completion({"content": "All is we"}, finish="length")],
            "Loop?": [again, again, again],
            "Dear?": [calls(("report", {"kind": "words"}), tokens=600), says("All is well.")],
            "Empty?": [says("")],
            "Lazy?": [says("All is well.")],
            "Banned?": [again, says("All is well, damn it.")],
            "Fine?": [again, says("All is well.")],
        }
    )
    names = ("Refuse?", "Filter?", "Cut?", "Loop?", "Dear?", "Empty?", "Lazy?", "Banned?", "Fine?")
    built = build(
        server,
        tmp_path / "b",
        odd(tmp_path),
        [question(name) for name in names],
        max_question_tokens=1000,
        banned=["(?i)damn"],
    )
    rejects = {
        row["messages"][0]["content"]: row["reasons"][0]["detail"]
        for row in read_lines(tmp_path / "b" / "rows" / "rejects.jsonl")
    }
    ended = "the rollout ended with "
    assert {name: rejects[name] for name in names[:5]} == {
        "Refuse?": ended + "refused",
        "Filter?": ended + "refused",
        "Cut?": ended + "truncated",
        "Loop?": ended + "max_turns",
        "Dear?": ended + "max_tokens",
    }
    assert built.reasons["Empty?"] == ["wrong_tool", "empty"]
    assert built.reasons["Lazy?"] == ["wrong_tool"]
    assert built.reasons["Banned?"] == ["banned"]
    assert built.summary["exchanges"] == 1


def test_what_a_model_asks_is_checked(server: FakeOpenAI, tmp_path: Path) -> None:
    def teach(request: dict[str, Any]) -> Reply:
        last = request["messages"][-1]["content"]
        if "response_format" not in request:
            return says("I cannot look that up.")
        texts = [
            AskedQuestion(text="Is all well?", tools=["report"], difficulty=1),
            AskedQuestion(text="is ALL well", tools=["report"], difficulty=1),
            AskedQuestion(text="一切都好吗？", tools=["report"], difficulty=1),
            AskedQuestion(text="Is it raining?", tools=["weather"], difficulty=1),
            AskedQuestion(text="x" * 500, tools=["report"], difficulty=1),
            AskedQuestion(
                text="Which report is longest, and how deep?",
                tools=["report", "lambda"],
                difficulty=4,
            ),
            AskedQuestion(text="Who are you?", tools=[], difficulty=1),
        ]
        fits = [
            candidate for candidate in texts if "none of these" not in last or not candidate.tools
        ]
        return says(json.dumps({"questions": [candidate.model_dump() for candidate in fits]}))

    server.usual = teach
    built = build(server, tmp_path / "b", odd(tmp_path), asked={"heldout_share": 0.0})
    by_text = {
        row["text"]: row for row in read_lines(tmp_path / "b" / "questions" / "questions.jsonl")
    }
    # Asked for by several jobs, each question is there once.
    assert set(by_text) == {
        "Is all well?",
        "Which report is longest, and how deep?",
        "Who are you?",
    }
    assert by_text["Which report is longest, and how deep?"]["tools"] == ["lambda", "report"]
    assert (
        by_text["Who are you?"]["kind"] == "abstention" and by_text["Who are you?"]["tools"] == []
    )
    assert built.summary["by_kind"] == {"abstention": 1}


def test_what_a_teacher_thinks_is_in_rows_only_where_it_is_wanted(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    call = {"function": {"name": "report", "arguments": {"kind": "words"}}}
    thought = "<think>17 numbers {that} stand in no result.</think>"
    server.usual = script(
        {
            "Tags?": [
                calls(("report", {"kind": "words"}), text=thought),
                says(thought + "All is well."),
            ],
            "Fields?": [
                completion({"tool_calls": [call], "reasoning_content": "17 numbers {that}"}),
                completion({"content": [{"type": "text", "text": "All is well."}]}),
            ],
            "Thought only?": [calls(("report", {"kind": "words"})), says(thought)],
        }
    )
    asked = [question(name) for name in ("Tags?", "Fields?", "Thought only?")]
    made = build(server, tmp_path / "b", odd(tmp_path), asked)
    assert made.reasons == {"Thought only?": ["empty"]}
    assert "think" not in made.text() and "17" not in made.text()
    paid = len(server.requests)
    kept = build(server, tmp_path / "b2", odd(tmp_path), asked, keep_reasoning=True)
    assert kept.reasons.keys() == made.reasons.keys()
    texts = [m.content for row in kept.conversations for m in row.messages if m.role == "assistant"]
    assert [text.count("<think>\n17 numbers {that}") for text in texts] == [1, 1, 1, 0]
    assert "think" not in json.dumps(server.requests[paid:]), "it is not shown what it thought"


TOLD = [
    Memory(f"m-{number}", f"What did you do in the year {1900 + number}?", text, "work")
    for number, text in enumerate(
        [
            "I sailed to Bergen with my brother Ole.",
            "I built a red boat in the old harbour.",
            ORDER,
        ],
        start=1,
    )
]


def companion(request: dict[str, Any]) -> Reply:
    """A good companion: searches, and tells what was found in its own words."""
    if "response_format" in request:
        texts = ["Did you ever fly a balloon over Paris?", "Which song did the ferryman whistle?"]
        entries = [{"text": text, "tools": [], "difficulty": 3} for text in texts]
        return says(json.dumps({"questions": entries}))
    spoken = [message for message in request["messages"] if message["role"] != "system"]
    if spoken[-1]["role"] == "user":
        year_question = re.search(r"What did you do in the year \d+\?", spoken[-1]["content"])
        return calls(
            (
                "search_memories",
                {"query": year_question.group() if year_question else spoken[-1]["content"]},
            )
        )
    memories = json.loads(spoken[-1]["content"])
    year = next(
        (word for word in spoken[0]["content"].replace("?", " ").split() if word.startswith("190")),
        "none",
    )
    of_that_year = [one for one in memories if year in one.get("q", "")]
    if not of_that_year:
        return says("I never told about that.")
    return says(f"{of_that_year[0]['text']} [{of_that_year[0]['id']}]")


def test_an_elder_speaks_from_memories_in_their_own_words(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    server.usual = companion
    memories = elder_folder(tmp_path / "m", ElderProfile("jan", "Jan"), TOLD)
    built = build(
        server,
        tmp_path / "b",
        pipeline_config("elder_companion", memories),
        memories=memories,
        asked={"unanswerable": 2},
        questionnaire=(TOLD[0].question, "Whom did you marry at the lighthouse?"),
        memory_tool_questions=2,
        open_heldout_share=0.0,
        max_row_tokens=1400,
        concurrency=4,
        mix={"persona": 0.6, "tools": 0.0, "abstention": 0.3, "general": 0.1, "tolerance": 0.2},
    )
    sources = {source for row in built.rows for source in row["sources"]}
    assert {"m-1", "m-2"} <= sources
    assert built.summary["mix"]["tools"] == 0 and built.summary["mix_farthest"] < 0.1
    assert {row["kind"] for row in built.rows} == {"tools", "closed_book", "general"}
    text = built.text()
    assert "I sailed to Bergen with my brother Ole. [m-1]" in text
    for row in built.conversations:
        for message in row.messages:
            if ORDER in message.content:
                assert message.role in {
                    "tool",
                    "assistant",
                }  # the elder's own words, and never a call
                assert not message.tool_calls
    questions = read_lines(tmp_path / "b" / "questions" / "questions.jsonl")
    assert {record["kind"] for record in questions} >= {"questionnaire", "abstention", "recall"}


def test_an_elder_who_invents_denies_or_cites_nothing_is_rejected(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    answers = {
        "invents": "I sailed to Lisbon with my cousin Per on a steamer full of oranges. [m-1]",
        "denies": "I never told about that.",
        "cites nothing": "I sailed to Bergen with my brother Ole.",
        "own words": "In those golden days the endless sea was calling restless hearts away. [m-1]",
    }
    expected = {
        "invents": "not_grounded",
        "denies": "contradicts",
        "cites nothing": "not_cited",
        "own words": "not_own_words",
    }
    memories = elder_folder(tmp_path / "m", ElderProfile("jan", "Jan"), TOLD[:1])
    for name, answer in answers.items():

        def bad(request: dict[str, Any], answer: str = answer) -> Reply:
            good = companion(request)
            return (
                good
                if "response_format" in request or request["messages"][-1]["role"] == "user"
                else says(answer)
            )

        server.usual = bad
        built = build(
            server,
            tmp_path / name,
            pipeline_config("elder_companion", memories),
            memories=memories,
            asked={"unanswerable": 0},
            memory_tool_questions=0,
            closed_per_memory=2,
            open_heldout_share=0.0,
        )
        recalls = [reasons for text, reasons in built.reasons.items() if "1901" in text]
        assert recalls and all(expected[name] in reasons for reasons in recalls), (
            name,
            built.reasons,
        )
