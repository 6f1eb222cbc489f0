"""Odd documents in MongoDB: plan, sensor and night go on for everybody else, and say what was set
aside.
"""

import json

import bson
import pytest
from bson import Binary
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from agent_assets.automation import commands
from agent_assets.automation.commands import Scope
from agent_assets.planning.history import known_partitions
from agent_assets.settings import load_settings
from support.fleet import NAMES, SHARED
from support.town import ADA, BEN, Db, Town

NEVER = DatetimeMS(8_640_000_000_000_000)  # in the year 275760


def add_odd_documents(db: Db) -> None:
    question = db.questions.find_one({}, {"_id": 1})
    assert question is not None
    told = {"questionId": question["_id"], "answer": "I lived in Hull."}
    bad = bson.encode({"_id": "bad", **told, "elderId": "mia", "createdAt": NEVER})
    db.answers.insert_one(RawBSONDocument(bad.replace(b"Hull", b"H\xffll")))
    db.answers.insert_one(RawBSONDocument(bad.replace(b"mia", b"m\xffa").replace(b"bad", b"ba2")))
    db.answers.insert_one({**told, "elderId": "ann@example.org", "updatedAt": NEVER})
    db.answers.insert_one({**told, "elderId": "王奶奶", "questionId": {"_id": question["_id"]}})
    db.answers.insert_one({**told, "elderId": 7})
    db.answers.insert_one({**told, "elderId": "a...b"})
    old_binary = bson.encode({"elderId": "mia", "answer": Binary(b"\x04\0\0\0abcd", 0)})
    wrong_length = old_binary.replace(b"\0\x04\0\0\0abcd", b"\x02\x63\0\0\0abcd")
    db.answers.insert_one(RawBSONDocument(wrong_length))
    wording = bson.encode({"_id": "q-bad", "questionText": "Where?", "updatedAt": NEVER})
    db.questions.insert_one(RawBSONDocument(wording.replace(b"Where", b"Wh\xffre")))
    profile = bson.encode({"elderId": "王奶奶", "name": "Wang", "lifeMotto": NEVER})
    db.elders.insert_one(RawBSONDocument(profile.replace(b"Wang", b"W\xffng")))


def test_nights_go_on_and_nothing_of_other_elders_becomes_stale(town: Town) -> None:
    town.on_materialized()
    add_odd_documents(town.db)
    town.watch()
    town.wait(minutes=10)
    tick = town.watch()
    keys = ("a~2E~2E~2Eb", "ann~40example.org", "~E7~8E~8B~E5~A5~B6~E5~A5~B6")
    assert {request.run.partition for request in tick.requests} == set(keys)
    assert all(
        done == {(n, e) for n in NAMES if n not in SHARED} for e, done in town.execute(tick).items()
    )
    assert set(known_partitions(town.instance, "elders")) == {ADA, BEN, *keys}
    town.wait(days=1)
    night = town.night()
    assert night.requests == () and night.snapshot.plan.fresh == 3 + 5 * 5
    for words in (
        r"fleet: set aside: 2 elder ids that cannot be used: 7 (int), m\udcffa",
        "fleet: set aside: 1 questions without a wording: q-bad",
        "fleet: set aside: 1 documents (not_text): mia 1",
        "fleet: set aside: 1 documents (unreadable): mia 1",
        "fleet: set aside: 1 documents (time): ann~40example.org 1",
        "1 elders without a usable answer",
    ):
        assert words in night.message


def test_the_plan_names_what_was_set_aside(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    add_odd_documents(commanded.db)
    assert commands.show_plan(load_settings(), Scope(), as_json=True, with_fresh=False) == 0
    set_aside = json.loads(capsys.readouterr().out)["set_aside"]["fleet"]
    assert set_aside["elder ids that cannot be used"] == {
        "count": 2,
        "names": ["7 (int)", r"m\udcffa"],
    }
    assert set_aside["documents (profile_field)"]["count"] == 2
    assert commands.show_plan(load_settings(), Scope(), as_json=False, with_fresh=False) == 0
    assert "fleet: set aside: 1 questions without a wording: q-bad" in capsys.readouterr().err
