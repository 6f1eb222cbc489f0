"""Odd documents in a real MongoDB: each costs itself, is counted and named, and everything beside
it goes on.
"""

from datetime import UTC, datetime
from uuid import UUID

import bson
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from agent_assets.mongo.checksums import (
    answer_checksums,
    elders_answering,
    profile_tokens,
    question_tokens,
)
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import (
    ElderRecord,
    content_digest,
    iter_elders,
    read_elder,
    read_questionnaire,
)
from agent_assets.mongo.signatures import elder_signatures, list_elder_ids, recommended_index
from support.answers_db import APP, SERVICE, T0, T1, Db, Document, answer, ask

NEVER = DatetimeMS(8_640_000_000_000_000)  # the last day of JavaScript, in the year 275760
ODD_VALUES: list[object] = [
    NEVER,
    DatetimeMS(-(2**63)),
    DatetimeMS(2**63 - 1),
    MinKey(),
    MaxKey(),
    Decimal128("NaN"),
    Decimal128("sNaN"),
    Decimal128("1E+6144"),
    float("nan"),
    float("-inf"),
    Int64(2**63 - 1),
    Int64(-(2**63)),
    Timestamp(2**32 - 1, 1),
    Regex("(", "i"),
    Code("f()", {"a": 1}),
    Binary(b"\xff\xfe", 4),
    Binary(b"x", 0x80),
    DBRef("questions", DBRef("questions", None)),
    {"$oid": "zz"},
    {"$ref": 7},
    {"$date": {"$numberLong": "x"}},
    {"": {"": []}},
    {"a.b": {"$c": 1}},
    [],
    [[]],
    [None],
    True,
    "",
    "\0",
    "x" * 100_000,
    ObjectId(),
]
PATHS = ("questionId", "answer", "createdAt", "updatedAt", "category")


def bad_byte(document: Document, text: str) -> RawBSONDocument:
    """A document in which one byte of `text` is not UTF-8."""
    data = text.encode()
    return RawBSONDocument(bson.encode(document).replace(data, data[:1] + b"\xff" + data[2:]))


def undecodable(document: Document, name: str) -> RawBSONDocument:
    """A document whose field `name` is an old binary of a wrong inner length, which the server
    takes and the driver does not.
    """
    raw = bson.encode({**document, name: Binary(b"\x04\0\0\0abcd", 0)})
    marked = b"\x08\0\0\0\0\x04\0\0\0abcd"
    assert marked in raw
    return RawBSONDocument(raw.replace(marked, b"\x08\0\0\0\x02\x63\0\0\0abcd"))


def look(db: Db, layout: MongoLayout = SERVICE) -> dict[str, ElderRecord]:
    """Everything that the plan, the sensor and the night ask MongoDB."""
    signatures = elder_signatures(db, layout)
    checksums = answer_checksums(db, layout)
    profile_tokens(db, layout)
    marks, _ = question_tokens(db, layout)
    read_questionnaire(db, layout)
    elders_answering(db, layout, marks)
    assert set(signatures) == set(list_elder_ids(db, layout).valid) == set(checksums)
    records = {record.profile.elder_id: record for record in iter_elders(db, layout, signatures)}
    whole = {record.profile.elder_id: record for record in iter_elders(db, layout)}
    assert records.keys() == signatures.keys() and whole.items() <= records.items()
    return records


def told(record: ElderRecord) -> list[str]:
    return sorted(memory.answer for memory in record.memories)


@pytest.fixture
def good(mongo_db: Db) -> Db:
    """Two elders with an answer each, before and after the odd ones in the order of ids."""
    ask(mongo_db, q1="Where?", q2="When?")
    for elder in ("ann", "zoe"):
        answer(mongo_db, elder, "q1", f"{elder} lived in Hull.")
    mongo_db.elders.insert_one({"elderId": "ann", "name": "Ann"})
    return mongo_db


def test_any_value_in_any_place_costs_that_document(good: Db) -> None:
    before = look(good)
    for number, (path, value) in enumerate((path, value) for path in PATHS for value in ODD_VALUES):
        question = f"asked-{number}"
        good.questions.insert_one({"_id": question, "questionText": "When?"})
        document = {"elderId": "mia", "questionId": question, "answer": "In May.", "createdAt": T0}
        good.answers.insert_one({**document, "_id": f"odd-{number}", path: value})
    for number, value in enumerate(ODD_VALUES):
        good.answers.insert_one({"elderId": value, "questionId": "q1", "answer": "x"})
        good.elders.insert_one({"_id": f"e{number}", "elderId": value, "name": "x"})
        good.elders.insert_one({"elderId": f"elder-{number}", "name": value, "language": value})
        good.elders.insert_one({"elderId": "mia", "name": "Mia", "personality": value})
        good.questions.insert_one({"_id": f"question-{number}", "questionText": value})
        if not isinstance(value, dict):  # the server takes no `$` in an `_id`
            good.questions.insert_one({"_id": {"k": number, "v": value}, "questionText": "Who?"})
    records = look(good)
    assert {elder: records[elder] for elder in before} == before
    assert "In May." in told(records["mia"])
    assert told(records["mia"]).count("In May.") == 3 * len(ODD_VALUES)
    assert records["mia"].skipped["not_text"] >= 20 and records["mia"].skipped["time"] >= 40
    assert len(records["mia"].set_aside) == 20
    good.answers.create_index(recommended_index(SERVICE))
    assert look(good) == records


@pytest.mark.parametrize("place", ["question", "question id", "name", "elder", "answer", "trait"])
def test_a_byte_that_is_not_utf_8_costs_what_holds_it(good: Db, place: str) -> None:
    before = look(good)
    if place == "question":
        good.questions.insert_one(bad_byte({"_id": "q3", "questionText": "Where to?"}, "to?"))
        answer(good, "mia", "q3", "To York.")
    elif place == "question id":
        good.questions.insert_one(bad_byte({"_id": "question-9", "questionText": "Where?"}, "-9"))
        answer(good, "mia", "q1", "In York.")
    elif place in ("name", "trait"):
        field = {"name": "name", "trait": "personality"}[place]
        good.elders.insert_one(bad_byte({"elderId": "mia", field: "Marianne"}, "Marianne"))
        answer(good, "mia", "q1", "In York.")
    else:
        field = {"elder": "elderId", "answer": "answer"}[place]
        document = {"_id": "bad", "elderId": "mia", "questionId": "q1", "answer": "In York."}
        good.answers.insert_one(bad_byte({**document, "createdAt": T0}, str(document[field])))
    records = look(good)
    assert {elder: records[elder] for elder in before} == before
    skipped = {
        "question": {"no_question": 1},
        "question id": {},
        "name": {"profile_field": 1},
        "trait": {"profile_field": 1},
        "answer": {"not_text": 1},
    }
    if place == "elder":
        assert list_elder_ids(good, SERVICE).invalid.names == [r"m\udcffa"]
        assert set(records) == set(before)
    else:
        assert records["mia"].skipped == skipped[place]
    if place == "question":
        assert question_tokens(good, SERVICE)[1].names == ["q3"]
    if place == "answer":
        assert records["mia"].set_aside == ("bad: not_text",)


@pytest.mark.parametrize("name", ["answer", "questionId", "updatedAt"])
def test_a_document_that_the_driver_cannot_decode_costs_itself(good: Db, name: str) -> None:
    before = look(good)
    answer(good, "mia", "q1", "In York.")
    document = {"elderId": "mia", "questionId": "q2", "answer": "In May.", "createdAt": T0}
    good.answers.insert_one(undecodable(document, name))
    good.answers.insert_one(undecodable({**document, "elderId": "nobody"}, name))
    good.questions.insert_one(undecodable({"_id": "q9"}, "questionText"))
    good.elders.insert_one(undecodable({"elderId": "mia"}, "name"))
    records = {
        record.profile.elder_id: record
        for record in iter_elders(good, SERVICE, elder_signatures(good, SERVICE))
    }
    assert {elder: records[elder] for elder in before} == before
    assert told(records["mia"]) == ["In York."]
    assert records["mia"].skipped == {"unreadable": 1}
    assert records["nobody"].skipped == {"unreadable": 1} and not records["nobody"].memories
    assert question_tokens(good, SERVICE)[1].count == 1
    assert profile_tokens(good, SERVICE)[2].count == 1


def test_a_question_is_found_however_the_answer_refers_to_it(mongo_db: Db) -> None:
    oid, uuid = ObjectId(), UUID("12345678-1234-5678-1234-567812345678")
    stored: list[object] = [5, 7.0, oid, Binary.from_uuid(uuid), "q1", Int64(8)]
    for number, question in enumerate(stored):
        mongo_db.questions.insert_one({"_id": question, "questionText": f"Question {number}?"})
    references: list[tuple[int, object]] = [
        (0, 5.0),
        (0, "5"),
        (0, Decimal128("5")),
        (0, Int64(5)),
        (0, DBRef("questions", 5)),
        (1, 7),
        (2, str(oid)),
        (2, str(oid).upper()),
        (2, DBRef("questions", oid, "afs")),
        (2, {"_id": oid, "questionText": "An old wording"}),
        (2, {"_id": str(oid)}),
        (2, [oid]),
        (2, {"$oid": str(oid)}),
        (3, str(uuid)),
        (3, str(uuid).upper()),
        (4, " q1 "),
        (4, {"$ref": "questions", "$id": "q1", "$db": 7}),
        (4, [{"_id": "q1", "questionText": "x"}]),
        (5, 8.0),
        (5, {"$numberLong": "8"}),
    ]
    for number, (_, reference) in enumerate(references):
        answer(mongo_db, f"elder-{number:02d}", reference, "Yes.")  # type: ignore[arg-type]
    records = look(mongo_db)
    asked = [records[f"elder-{number:02d}"] for number in range(len(references))]
    assert [[memory.question for memory in record.memories] for record in asked] == [
        [f"Question {number}?"] for number, _ in references
    ]
    assert [record.skipped for record in asked] == [{}] * len(references)
    answering = elders_answering(mongo_db, SERVICE, [str(oid)])
    assert {"elder-06", "elder-08", "elder-09", "elder-10"} <= answering


def test_a_populated_question_that_the_collection_lacks_brings_its_wording(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?")
    populated: list[Document] = [
        {"_id": "gone", "questionText": "When?", "category": "youth"},
        {"questionText": "Who?"},
        {"_id": "gone too"},
    ]
    for question in populated:
        answer(mongo_db, "ann", question, f"About {question.get('_id')}.")  # type: ignore[arg-type]
    record = read_elder(mongo_db, SERVICE, "ann")
    assert {(m.question, m.category) for m in record.memories} == {("When?", "youth"), ("Who?", "")}
    assert record.skipped == {"no_question": 1}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (T0, T1.timestamp() * 1000),
        (T0.timestamp() * 1000, Int64(int(T1.timestamp() * 1000))),
        (T0, str(int(T1.timestamp() * 1000))),
        (T0, T1.timestamp()),
        (T0, Decimal128(str(int(T1.timestamp() * 1000)))),
        (T0, Timestamp(int(T1.timestamp()), 1)),
        (
            "Wed May 01 2024 16:30:00 GMT+0800 (中国标准时间)",
            "Sat Jun 01 2024 08:00:00 GMT+0800 (中国标准时间)",
        ),
        ("Wed, 01 May 2024 08:30:00 GMT", "Sat, 01 Jun 2024 00:00:00 GMT"),
        (T0, {"$date": "2024-06-01T00:00:00Z"}),
        ("2024/5/1 08:30:00", "2024/6/1 00:00:00"),
    ],
)
def test_the_later_answer_counts_however_times_are_stored(
    mongo_db: Db, older: object, newer: object
) -> None:
    ask(mongo_db, q1="Where?")
    # The later answer has the smaller `_id`, and comes first: only its time tells.
    for number, (text, time) in enumerate((("later", newer), ("earlier", older))):
        _id = ObjectId(f"{number:024x}")
        answer(mongo_db, "ann", "q1", text, _id=_id, createdAt=older, updatedAt=time)
    record = look(mongo_db)["ann"]
    assert told(record) == ["later"] and record.skipped == {"superseded": 1}
    assert record.memories[0].created_at == "2024-05-01T08:30:00.000Z"
    assert record.memories[0].updated_at == "2024-06-01T00:00:00.000Z"


def test_ids_decide_where_times_cannot(mongo_db: Db) -> None:
    ask(mongo_db, **{f"q{number}": f"Question {number}?" for number in range(6)})
    ids = [ObjectId.from_datetime(datetime(2024, month, 1, tzinfo=UTC)) for month in (1, 9)]
    times: list[tuple[object, object]] = [
        (None, None),
        (T0, T0),
        (T1, NEVER),
        (T1, "5/1/2024, 8:30:00 AM"),
        ("yesterday", "today"),
        (T0, None),
    ]
    for number, pair in enumerate(times):
        for text, _id, time in zip(("Older.", "Newer."), ids, pair, strict=True):
            identity = ObjectId(f"{str(_id)[:8]}{number:016x}")
            answer(mongo_db, "ann", f"q{number}", text, _id=identity, createdAt=time)
            if number > 1:
                mongo_db.answers.update_one(
                    {"_id": identity}, {"$set": {"createdAt": T0, "updatedAt": time}}
                )
    mongo_db.answers.update_many({"questionId": "q5", "updatedAt": None}, {"$set": {"answer": "N"}})
    record = look(mongo_db)["ann"]
    assert sorted(told(record)) == ["N", *["Newer."] * 5]
    assert record.skipped == {"superseded": 6, "time": 3}


def test_an_order_that_nothing_tells_is_said(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?")
    answer(mongo_db, "ann", "q1", "a", _id="x", createdAt="?")
    answer(mongo_db, "ann", "q1", "b", _id="y", createdAt="?")
    record = look(mongo_db)["ann"]
    assert record.skipped == {"order_unknown": 1, "time": 1}
    assert set(record.set_aside) == {"x: order_unknown", "y: time"}


@pytest.mark.parametrize(
    "text",
    [
        "\u200b",
        "\ufeff\u200d\u2060",
        "<p><br></p>",
        "<p>&nbsp;</p>",
        "<p>\u200b</p>",
        "\u3164",
        "<div><br/></div>\n",
        "\u2800",
        "&#8203;",
        "\0",
        "<img src='data:image/png;base64,AA=='>",
    ],
)
def test_an_answer_that_shows_nothing_is_empty(mongo_db: Db, text: str) -> None:
    ask(mongo_db, q1="Where?")
    answer(mongo_db, "ann", "q1", text)
    assert look(mongo_db)["ann"].skipped == {"empty": 1}


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        (
            "<p>We lived in <b>Hull</b>.</p><p>Then&nbsp;York.</p>",
            "We lived in Hull.\n\nThen York.",
        ),
        ("Tom &amp; Jerry<br>and I", "Tom & Jerry\nand I"),
        ("<p>我爱<strong>馄饨</strong>。</p>", "我爱馄饨。"),
        ("<script>steal()</script><p>Hello</p>", "Hello"),
        ("<p>cafe&#769;</p>", "café"),
        ("I <3 you & a < b > c", "I <3 you & a < b > c"),
        ("<ann@example.org>", "<ann@example.org>"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ],
)
def test_html_becomes_text_and_text_stays_as_it_is(mongo_db: Db, stored: str, plain: str) -> None:
    ask(mongo_db, q1=stored)
    answer(mongo_db, "ann", "q1", stored)
    (memory,) = look(mongo_db)["ann"].memories
    assert (memory.question, memory.answer) == (plain, plain)


def test_elders_with_ids_of_all_kinds_have_partitions(mongo_db: Db) -> None:
    ids = [
        "ann",
        "ann@example.org",
        "王奶奶",
        "a b",
        "..",
        "_",
        "a...b",
        "a/b",
        "~40",
        "x" * 65,
        "é",
    ]
    ask(mongo_db, q1="Where?")
    for elder in ids:
        answer(mongo_db, elder, "q1", f"I am {elder}.")
        mongo_db.elders.insert_one({"elderId": elder, "name": f"Name {elder}"})
    records = look(mongo_db)
    assert {record.profile.name for record in records.values()} == {f"Name {id_}" for id_ in ids}
    assert set(records) >= {"ann", "ann~40example.org", "~E7~8E~8B~E5~A5~B6~E5~A5~B6", "a~20b"}
    assert told(read_elder(mongo_db, SERVICE, "ann~40example.org")) == ["I am ann@example.org."]
    assert elders_answering(mongo_db, SERVICE, ["q1"]) == set(records)
    assert list_elder_ids(mongo_db, SERVICE).invalid.count == 0
    answer(mongo_db, "", "q1", "x")
    answer(mongo_db, "王" * 70, "q1", "x")
    answer(mongo_db, 12, "q1", "x")
    assert sorted(list_elder_ids(mongo_db, SERVICE).invalid.names) == ["''", "12 (int)", "王" * 70]


def test_ordinary_elders_keep_their_version(mongo_db: Db) -> None:
    """The digest of a plain elder, as recorded before odd documents were looked at."""
    ask(mongo_db, q1="Where did you live?", q2="When was that?")
    mongo_db.elders.insert_one({"elderId": "ann", "name": "Ann", "personality": "kind"})
    answer(mongo_db, "ann", "q1", "In Hull & York, 1 < 2.", updatedAt=T1)
    answer(mongo_db, "ann", "q1", "In Hull.")
    answer(mongo_db, "ann", "q2", " Café, 1931\r\n")
    assert content_digest(look(mongo_db)["ann"]) == "19a6aed998c1773e6dc67175d6809018"


def test_the_app_layout_has_odd_documents_as_well(mongo_db: Db) -> None:
    elder, question = ObjectId(), ObjectId()
    mongo_db.questions.insert_one({"_id": question, "question": "Where?"})
    common = {"questionId": {"_id": question}, "isSelfAnswer": True, "createdAt": NEVER}
    mongo_db.answers.insert_one({**common, "targetUserId": elder, "answer": "<p>In Hull.</p>"})
    for odd in [str(elder), DBRef("users", elder), {"_id": elder}, None, *ODD_VALUES[:-1]]:
        mongo_db.answers.insert_one({**common, "targetUserId": odd, "answer": "x"})
    mongo_db.users.insert_one({"_id": elder, "name": NEVER, "profile": "not a document"})
    records = look(mongo_db, APP)
    assert told(records[str(elder)]) == ["In Hull."] and len(records) == 1
    assert records[str(elder)].skipped == {"profile_field": 1, "time": 1}
    assert list_elder_ids(mongo_db, APP).invalid.count >= 25
