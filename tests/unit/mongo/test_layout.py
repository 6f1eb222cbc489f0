"""Layouts, ids and texts of elders, without a server."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from agent_assets.demo.sample_elders import load_sample_elders
from agent_assets.errors import ConfigError
from agent_assets.mongo.answers import clean_text, memory_ids, utc_text
from agent_assets.mongo.layout import MongoLayout, is_elder_id
from agent_assets.mongo.retry import redacted


def test_overriding_one_name_keeps_the_rest_of_the_preset() -> None:
    layout = MongoLayout.model_validate({"preset": "app", "answers": {"updated_at": "modifiedAt"}})
    app = MongoLayout.app()
    assert layout.answers.updated_at == "modifiedAt"
    assert layout.answers.elder == app.answers.elder and layout.questions == app.questions
    assert MongoLayout.model_validate(layout.model_dump()) == layout
    assert MongoLayout.model_validate({}) == MongoLayout.service()
    assert MongoLayout.model_validate({"profiles": None}).profiles is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"answers": {"colection": "x"}}, "did you mean 'collection'"),
        ({"profile": None}, "did you mean 'profiles'"),
        ({"preset": "sevice"}, "'service' or 'app'"),
        ("sevice", "'service' or 'app'"),
        ({"answers": {"elder": "$where"}}, "pattern"),
        ({"answers": {"elder": ""}}, "pattern"),
    ],
)
def test_wrong_layouts_are_named(config: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MongoLayout.model_validate(config)


@pytest.mark.parametrize(
    ("text", "good"),
    [("shen-fu", True), ("a.b_C-9", True), ("x" * 64, True), (".", False), ("_", False)],
)
def test_elder_ids_are_names_of_folders(text: str, good: bool) -> None:
    assert is_elder_id(text) is good


def test_memory_ids_survive_edits_and_never_clash() -> None:
    assert memory_ids("shen-fu", [("shen-01", "")]) == {
        ("shen-01", ""): "m-fe377e6b"
    }  # recorded in trained rows
    ids = memory_ids(
        "ann", [("q1", ""), ("q19269", ""), ("q139998", "")]
    )  # the last two begin with the same 8 digits
    assert len(set(ids.values())) == 3
    assert [len(memory_id) for memory_id in ids.values()] == [10, 18, 18]


def test_texts_and_times_have_one_form() -> None:
    assert clean_text(" e\u0301\r\nb\rc ") == "é\nb\nc"
    assert clean_text("\udcff") is None and clean_text(b"x") is None
    east = timezone(timedelta(hours=8))
    assert utc_text(datetime(2024, 1, 1, 8, tzinfo=east)) == "2024-01-01T00:00:00.000Z"
    naive = datetime(2024, 1, 1)  # noqa: DTZ001  # MongoDB returns such
    assert utc_text("2024-01-01T08:00:00+08:00") == utc_text(naive) == "2024-01-01T00:00:00.000Z"
    assert utc_text(datetime(1, 1, 1, tzinfo=east)) == utc_text("yesterday") == utc_text(17) == ""
    assert utc_text(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://u:p%40ss@host:1/db?authSource=admin", "mongodb://***@host:1/db"),
        ("mongodb://u:p@ss@host:1/", "mongodb://***@host:1/"),
        ("mongodb://host:1", "mongodb://host:1"),
        ("u:secret@host", "***"),
    ],
)
def test_shown_uris_have_no_password(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


def test_sample_elders_have_enough_distinct_short_memories() -> None:
    elders = load_sample_elders()
    assert [elder.profile.elder_id for elder in elders] == [
        "benjamin-franklin",
        "charles-darwin",
        "frederick-douglass",
        "helen-keller",
        "shen-fu",
        "yung-wing",
    ]
    assert {elder.profile.language for elder in elders} == {"en", "zh"}
    for elder in elders:
        assert len(elder.memories) >= 40 and len(
            {memory.question for memory in elder.memories}
        ) == len(elder.memories)
        assert len({memory.category for memory in elder.memories}) >= 5
        assert all(len(memory.answer) < 500 for memory in elder.memories)
        assert elder.source["rights"] == "public domain" and elder.source["year"] < 1910
    with pytest.raises(ConfigError, match="no sample elder 'nobody'") as error:
        load_sample_elders(["nobody"])
    assert "shen-fu" in (error.value.next_step or "")
