"""Signatures of elders: what moves them, and that no index changes them."""

import pytest
from bson import ObjectId

from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import iter_elders
from agent_assets.mongo.signatures import (
    elder_signatures,
    has_recommended_index,
    list_elder_ids,
    recommended_index,
)
from support.answers_db import APP, SERVICE, T0, T1, Db, Document, answer, ask


def test_signatures_see_additions_deletes_and_stored_collations(mongo_db: Db) -> None:
    mongo_db.create_collection(
        "answers", collation={"locale": "en", "strength": 1}
    )  # "a" and "A" compare equal
    ask(mongo_db, q1="Where?")
    for number, elder in enumerate(("ann", "ANN", "ann", "bob")):
        mongo_db.answers.insert_one(
            {"_id": number, "elderId": elder, "questionId": "q1", "answer": "x", "createdAt": T0}
        )
    first = elder_signatures(mongo_db, SERVICE)
    assert {elder: signature.count for elder, signature in first.items()} == {
        "ANN": 1,
        "ann": 2,
        "bob": 1,
    }
    assert [record.profile.elder_id for record in iter_elders(mongo_db, SERVICE)] == [
        "ANN",
        "ann",
        "bob",
    ]
    mongo_db.answers.delete_one({"_id": 2})
    mongo_db.answers.delete_one({"_id": 3})
    second = elder_signatures(mongo_db, SERVICE)
    assert second == {"ANN": first["ANN"], "ann": second["ann"]} and second["ann"] != first["ann"]


@pytest.mark.parametrize(
    "options", [{}, {"sparse": True}, {"partialFilterExpression": {"elderId": "ann"}}]
)
def test_signatures_are_the_same_with_any_index(mongo_db: Db, options: Document) -> None:
    for elder in ("ann", "bob"):
        answer(mongo_db, elder, "q1", "x", updatedAt=T1)
        answer(mongo_db, elder, "q2", "x")
    plain = elder_signatures(mongo_db, SERVICE)
    assert not has_recommended_index(mongo_db, SERVICE)
    mongo_db.answers.create_index(recommended_index(SERVICE), **options)
    assert elder_signatures(mongo_db, SERVICE) == plain and len(plain) == 2
    assert list_elder_ids(mongo_db, SERVICE).valid == ("ann", "bob")
    assert has_recommended_index(mongo_db, SERVICE) is not bool(options)


@pytest.mark.parametrize("layout", [SERVICE, APP], ids=["service", "app"])
@pytest.mark.parametrize("elders", [0, 1, 2, 5])
def test_an_index_read_in_two_halves_gives_every_elder_once(
    mongo_db: Db, layout: MongoLayout, elders: int
) -> None:
    """Whatever else is stored beside them: ids of other types, lists of ids, times that are none or
    missing.
    """
    stored = [ObjectId() if layout is APP else f"elder-{number}" for number in range(elders)]
    times: list[object] = [T0, "2024-05-06T00:00:00", "no time", 7, None]
    mongo_db.answers.insert_many(
        [
            {
                layout.answers.elder: elder,
                "questionId": number,
                "answer": "x",
                "updatedAt": time,
                "createdAt": T1,
            }
            for elder in [
                *stored,
                None,
                12,
                "a b",
                "",
                stored,
                [ObjectId(), "elder-1"],
                {"id": "elder-1"},
            ]
            for number, time in enumerate(times)
        ]
    )
    for elder in stored * 3:
        mongo_db.answers.insert_one({layout.answers.elder: elder, "answer": "no time at all"})
    plain = elder_signatures(mongo_db, layout)
    mongo_db.answers.create_index(recommended_index(layout))
    assert elder_signatures(mongo_db, layout) == plain
    assert {elder: signature.count for elder, signature in plain.items()} == {
        str(elder): 8 for elder in stored
    }
