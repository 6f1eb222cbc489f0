"""Elders come out of a real MongoDB as they were told, in both layouts, and what cannot be used is
counted.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.errors import MemoryDataError
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import content_digest, iter_elders, read_elder
from agent_assets.mongo.signatures import elder_signatures, list_elder_ids
from support.answers_db import APP, SERVICE, T0, T1, Db, Document, answer, ask


class Commands(CommandListener):
    """Names of the commands a client sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.mark.parametrize("layout", [SERVICE, APP], ids=["service", "app"])
def test_sample_elders_come_out_as_they_went_in(mongo_db: Db, layout: MongoLayout) -> None:
    samples = load_sample_elders()
    seeded = seed_elders(mongo_db, layout, samples)
    for sample, elder_id in zip(samples, seeded.elder_ids, strict=True):
        record = read_elder(mongo_db, layout, elder_id)
        assert {(m.question, m.answer, m.category) for m in record.memories} == {
            (m.question, m.answer, m.category) for m in sample.memories
        }
        assert (record.profile.name, record.profile.language) == (
            sample.profile.name,
            sample.profile.language,
        )
        assert record.profile.traits == sample.profile.traits
        assert record.skipped == {}
        assert {memory.relationship for memory in record.memories} == {"self"}
        assert [m.memory_id for m in record.memories] == sorted(
            {m.memory_id for m in record.memories}
        )
    assert list_elder_ids(mongo_db, layout).valid == tuple(sorted(seeded.elder_ids))


@pytest.mark.parametrize("layout", [SERVICE, APP], ids=["service", "app"])
def test_seeding_again_touches_nothing_and_keeps_edits(mongo_db: Db, layout: MongoLayout) -> None:
    seeded = seed_elders(mongo_db, layout, load_sample_elders())
    mongo_db.answers.update_one({}, {"$set": {"answer": "I changed this.", "updatedAt": T1}})
    before = list(mongo_db.answers.find(sort=[("_id", 1)])), elder_signatures(mongo_db, layout)
    again = seed_elders(mongo_db, layout, load_sample_elders())
    assert again.inserted == 0 and again.elder_ids == seeded.elder_ids
    assert (
        list(mongo_db.answers.find(sort=[("_id", 1)])),
        elder_signatures(mongo_db, layout),
    ) == before


def test_app_layout_tells_who_answered(mongo_db: Db) -> None:
    elder, daughter, question = ObjectId(), ObjectId(), ObjectId()
    mongo_db.users.insert_one(
        {
            "_id": elder,
            "uniqueCode": "A" * 16,
            "name": "王奶奶",
            "profile": {"gender": "female"},
            "companionChat": {
                "roleCard": {"personality": "慈祥", "interests": ["下棋", "养花"], "values": 7}
            },
        }
    )
    mongo_db.questions.insert_one(
        {"_id": question, "role": "family", "layer": "emotional", "question": "她爱做什么菜？"}
    )
    common = {
        "targetUserId": elder,
        "questionId": question,
        "questionLayer": "emotional",
        "createdAt": T0,
    }
    mongo_db.answers.insert_many(
        [
            {
                **common,
                "userId": daughter,
                "answer": "妈妈做的\r\n红烧肉最好吃。",
                "isSelfAnswer": False,
                "relationshipType": "family",
                "updatedAt": T1,
            },
            {
                **common,
                "userId": elder,
                "answer": "我爱做馄饨。",
                "isSelfAnswer": True,
                "relationshipType": "self",
            },
        ]
    )
    record = read_elder(mongo_db, APP, str(elder))
    memories = {memory.relationship: memory for memory in record.memories}
    assert memories["family"].answered_by == str(daughter)
    assert memories["family"].answer == "妈妈做的\n红烧肉最好吃。"
    assert memories["family"].updated_at == "2024-06-01T00:00:00.000Z"
    assert memories["self"].updated_at == memories["self"].created_at == "2024-05-01T08:30:00.000Z"
    assert memories["self"].category == "emotional"
    assert record.profile.name == "王奶奶"
    assert record.profile.language == "zh"  # told from the answers: this layout need not state it
    assert record.profile.traits == {"personality": "慈祥", "hobby": "下棋、养花"}
    assert record.skipped == {"profile_field": 1}


def test_unusable_answers_are_counted_by_reason(mongo_db: Db) -> None:
    ask(mongo_db, **{f"q{number}": f"Question {number}?" for number in range(9)})
    unusable: list[object] = [" \n ", None, 17, ["a"], {"text": "b"}, b"bytes", "x" * 501]
    for number, text in enumerate(unusable):
        answer(mongo_db, "ann", f"q{number}", text)
    answer(mongo_db, "ann", "q7", "I sailed to Hull.")
    answer(mongo_db, "ann", "gone", "Nobody knows what was asked.")
    mongo_db.answers.insert_one({"elderId": "ann", "questionId": "q8", "createdAt": T0})
    record = read_elder(mongo_db, SERVICE, "ann", max_answer_chars=500)
    assert [memory.answer for memory in record.memories] == ["I sailed to Hull."]
    assert record.skipped == {"empty": 3, "not_text": 4, "too_long": 1, "no_question": 1}


def test_one_broken_document_does_not_end_the_read(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?", q2="When?")
    good = bson.encode(
        {"_id": 1, "elderId": "ann", "questionId": "q1", "answer": "broken text", "createdAt": T0}
    )
    mongo_db.answers.insert_one(RawBSONDocument(good.replace(b"broken", b"br\xffken")))
    answer(mongo_db, "ann", "q2", "In May.", updatedAt=bson.datetime_ms.DatetimeMS(2**52))
    record = read_elder(mongo_db, SERVICE, "ann")
    assert [(memory.answer, memory.updated_at) for memory in record.memories] == [
        ("In May.", "2024-05-01T08:30:00.000Z")
    ]
    assert record.skipped == {"not_text": 1}


def test_elder_without_usable_answers_says_why(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?")
    answer(mongo_db, "ann", "q1", "   ")
    with pytest.raises(MemoryDataError, match=r"Elder ann has no usable answer.*empty 1") as error:
        read_elder(mongo_db, SERVICE, "ann")
    assert error.value.next_step
    with pytest.raises(MemoryDataError, match="none at all"):
        read_elder(mongo_db, SERVICE, "bob")


@pytest.mark.parametrize("elder_id", ["", "a b", "../etc", "..", "ann\n", "王奶奶", "x" * 65])
def test_bad_elder_id_is_refused(mongo_db: Db, elder_id: str) -> None:
    with pytest.raises(MemoryDataError, match="cannot be used"):
        read_elder(mongo_db, SERVICE, elder_id)


@pytest.mark.parametrize("elder_id", ["shen-fu", "ABCDEFABCDEFABCDEFABCDEF"])
def test_app_layout_wants_object_ids(mongo_db: Db, elder_id: str) -> None:
    with pytest.raises(MemoryDataError, match="ObjectId"):
        read_elder(mongo_db, APP, elder_id)


def test_bad_stored_ids_are_counted_and_the_others_go_on(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?", q2="When?")
    bad: list[object] = ["a b", "王奶奶", 12, None, ObjectId(), ["ann", "bob"], ".."]
    answer(mongo_db, "ann", "q1", "Here.")
    for elder in [*bad, "bob"]:
        answer(mongo_db, elder, "q1", "Here.")
    answer(mongo_db, "ann", "q2", "Now.")
    ids = list_elder_ids(mongo_db, SERVICE)
    assert ids.valid == ("ann", "bob") and ids.invalid == len(bad)
    assert [record.profile.elder_id for record in iter_elders(mongo_db, SERVICE)] == ["ann", "bob"]
    records = list(iter_elders(mongo_db, SERVICE, ["bob", "zoe", "ann", "amy"]))
    assert [(record.profile.elder_id, len(record.memories)) for record in records] == [
        ("amy", 0),
        ("ann", 2),
        ("bob", 1),
        ("zoe", 0),
    ]
    assert set(elder_signatures(mongo_db, SERVICE)) == {"ann", "bob"}


def test_two_answers_to_one_question_the_later_counts(new_mongo_db: Callable[[], Db]) -> None:
    answers = [
        {"elderId": "ann", "questionId": "q1", "answer": "first", "createdAt": T0},
        {
            "elderId": "ann",
            "questionId": "q1",
            "answer": "edited",
            "createdAt": T0,
            "updatedAt": T1,
        },
        {
            "elderId": "ann",
            "questionId": "q1",
            "answer": "second",
            "createdAt": datetime(2024, 5, 9, tzinfo=UTC),
        },
        {"elderId": "ann", "questionId": "q2", "answer": "same time a", "createdAt": T0},
        {"elderId": "ann", "questionId": "q2", "answer": "same time b", "createdAt": T0},
    ]
    contents = set()
    for seed in range(6):
        db = new_mongo_db()
        ask(db, q1="Where?", q2="When?")
        random.Random(seed).shuffle(answers)
        db.answers.insert_many([dict(document) for document in answers])
        record = read_elder(db, SERVICE, "ann")
        assert record.skipped == {"superseded": 3}
        contents.add((content_digest(record), *sorted(memory.answer for memory in record.memories)))
    ((_, *texts),) = contents
    assert texts == ["edited", "same time b"]


def test_digest_moves_with_content_and_not_with_a_touch(mongo_db: Db) -> None:
    ask(mongo_db, q1="Where?", q2="When?")
    answer(mongo_db, "ann", "q1", "Café in Nîmes")
    first = read_elder(mongo_db, SERVICE, "ann")
    signature = elder_signatures(mongo_db, SERVICE)["ann"]

    mongo_db.answers.update_one(
        {}, {"$set": {"updatedAt": T1, "answer": "Cafe\u0301 in Nîmes "}}
    )  # NFD, same text
    touched = read_elder(mongo_db, SERVICE, "ann")
    assert content_digest(touched) == content_digest(first)
    assert elder_signatures(mongo_db, SERVICE)["ann"] != signature

    mongo_db.answers.update_one({}, {"$set": {"answer": "In Lyon"}})
    edited = read_elder(mongo_db, SERVICE, "ann")
    assert content_digest(edited) != content_digest(first)
    assert edited.memories[0].memory_id == first.memories[0].memory_id

    mongo_db.answers.update_one({}, {"$set": {"answer": "Café in Nîmes"}})
    assert content_digest(read_elder(mongo_db, SERVICE, "ann")) == content_digest(first)

    mongo_db.elders.insert_one({"elderId": "ann", "name": "Ann"})
    assert content_digest(read_elder(mongo_db, SERVICE, "ann")) != content_digest(first)


def test_renamed_collections_and_fields(mongo_db: Db) -> None:
    layout = MongoLayout.model_validate(
        {
            "preset": "service",
            "answers": {
                "collection": "回答",
                "elder": "who.id",
                "question_text": "asked",
                "updated_at": "modified",
            },
            "profiles": None,
        }
    )
    mongo_db["回答"].insert_many(
        [
            {
                "who": {"id": "ann"},
                "asked": "Where?",
                "answer": "In York.",
                "modified": "2024-06-01T02:00:00+02:00",
            },
            {"who": {"id": "ann"}, "asked": "When?", "answer": "In May.", "modified": T1},
        ]
    )
    record = read_elder(mongo_db, layout, "ann")
    assert {(m.question, m.answer, m.updated_at) for m in record.memories} == {
        ("Where?", "In York.", "2024-06-01T00:00:00.000Z"),
        ("When?", "In May.", "2024-06-01T00:00:00.000Z"),
    }
    signature = elder_signatures(mongo_db, layout)["ann"]
    assert (signature.count, signature.sum_updated) == (2, 2 * int(T1.timestamp() * 1000))
    assert record.profile.name == "Elder" and record.profile.traits == {}


@pytest.fixture
def filled(mongo_db: Db) -> Iterator[Db]:
    ask(mongo_db, **{f"q{number}": "What?" for number in range(5)})
    mongo_db.answers.insert_many(
        [
            {
                "elderId": f"elder-{elder:03d}",
                "questionId": f"q{number}",
                "answer": f"答案 {elder}",
                "createdAt": T0,
            }
            for elder in range(300)
            for number in range(5)
        ]
    )
    yield mongo_db


def test_many_elders_cost_one_cursor(filled: Db, mongo_uri: str) -> None:
    commands = Commands()
    with MongoClient[Document](mongo_uri, event_listeners=[commands]) as client:
        records = list(iter_elders(client[filled.name], SERVICE))
    assert len(records) == 300 and all(len(record.memories) == 5 for record in records)
    finds = [collection for name, collection in commands.sent if name == "find"]
    assert sorted(finds) == ["answers", "elders", "questions"]
    assert sum(name == "getMore" for name, _ in commands.sent) <= 2


def test_batch_and_single_reads_agree(filled: Db) -> None:
    batch = {
        record.profile.elder_id: record
        for record in iter_elders(filled, SERVICE, ["elder-007", "elder-123"])
    }
    assert batch == {elder_id: read_elder(filled, SERVICE, elder_id) for elder_id in batch}
    assert sorted(batch) == ["elder-007", "elder-123"]
