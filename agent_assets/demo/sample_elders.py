"""Six people long dead, whose recollections are in the public domain, as sample elders for
MongoDB.

Each `elders/<id>.json` names its source; the facts are the book's, the wording is ours. The demo
trains three of them. Each `exams/<id>.jsonl` holds turns as a family would say them, written from
the memories alone (docs/exam.md).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.database import Database

from agent_assets.conversations.memories import ElderProfile
from agent_assets.errors import ConfigError
from agent_assets.mongo.layout import IdType, MongoLayout
from agent_assets.mongo.signatures import recommended_index

Document = dict[str, Any]

DEMO_ELDERS = ("benjamin-franklin", "frederick-douglass", "shen-fu")  # what `make demo` trains
_FOLDER = Path(__file__).parent / "elders"
_FIRST_ANSWER = datetime(
    2024, 1, 1, tzinfo=UTC
)  # a fixed time: loading the samples gives the same content every day


@dataclass(frozen=True)
class SampleMemory:
    """One question with its answer."""

    question_id: str
    category: str
    question: str
    answer: str


@dataclass(frozen=True)
class SampleElder:
    """A sample elder; `source` has title, author, year (of the first printing), rights and note."""

    profile: ElderProfile
    source: dict[str, Any]
    memories: tuple[SampleMemory, ...]


@dataclass(frozen=True)
class Seeded:
    """Elder ids as partition keys, in the order of the samples, and the number of documents that
    were missing.
    """

    elder_ids: tuple[str, ...]
    inserted: int


def load_sample_elders(elder_ids: Iterable[str] | None = None) -> list[SampleElder]:
    """The sample elders, all or those named, sorted by id.

    Raises:
        ConfigError: there is no sample elder of one of these ids.
    """
    paths = {path.stem: path for path in sorted(_FOLDER.glob("*.json"))}
    chosen = sorted(set(paths if elder_ids is None else elder_ids))
    for elder_id in chosen:
        if elder_id not in paths:
            raise ConfigError(
                f"There is no sample elder {elder_id[:80]!r}.",
                next_step=f"choose from {', '.join(paths)}.",
            )
    return [_elder(json.loads(paths[elder_id].read_text(encoding="utf-8"))) for elder_id in chosen]


def seed_elders(
    db: Database[Document], layout: MongoLayout, elders: Iterable[SampleElder]
) -> Seeded:
    """Insert what is missing of `elders`. What is there stays as it is, edits included, so nothing
    becomes stale.
    """
    elders = list(elders)
    answers, questions, profiles = layout.answers, layout.questions, layout.profiles
    writes: dict[str, list[UpdateOne]] = {}
    for elder in elders:
        stored = _stored(elder.profile.elder_id, layout.elder_id_type)
        for number, memory in enumerate(elder.memories):
            question = _stored(memory.question_id, layout.elder_id_type)
            key = {answers.elder: stored, answers.question: question}
            content = _named(answers.is_self, True) | _named(answers.relationship, "self")
            content |= _named(answers.question_text, memory.question) | _named(
                answers.category, memory.category
            )
            content |= {answers.text: memory.answer} | _times(layout, number)
            key |= _named(answers.answered_by, stored)
            writes.setdefault(answers.collection, []).append(_insert(key, content))
            content = {questions.text: memory.question} | _named(
                questions.category, memory.category
            )
            writes.setdefault(questions.collection, []).append(
                _insert({questions.id: question}, content)
            )
        if profiles is not None:
            content = {profiles.name: elder.profile.name} | _named(
                profiles.language, elder.profile.language
            )
            traits = elder.profile.traits
            content |= {
                path: traits[name] for name, path in profiles.traits.items() if name in traits
            }
            writes.setdefault(profiles.collection, []).append(
                _insert({profiles.id: stored}, content)
            )
    db[answers.collection].create_index(recommended_index(layout))
    inserted = sum(db[name].bulk_write(updates).upserted_count for name, updates in writes.items())
    return Seeded(
        tuple(str(_stored(elder.profile.elder_id, layout.elder_id_type)) for elder in elders),
        inserted,
    )


def _elder(document: Document) -> SampleElder:
    profile = document["profile"]
    traits = {
        "personality": profile["personality"],
        "hobby": profile["hobby"],
        "catchphrase": profile["catchphrase"],
        "life_motto": profile["lifeMotto"],
    }
    return SampleElder(
        ElderProfile(profile["elderId"], profile["name"], profile["language"], traits),
        document["source"],
        tuple(
            SampleMemory(m["questionId"], m["category"], m["question"], m["answer"])
            for m in document["memories"]
        ),
    )


def _stored(text: str, id_type: IdType) -> str | ObjectId:
    """An id as the layout stores it; an ObjectId is made from the text, so that it is the same on
    every machine.
    """
    return text if id_type == "string" else ObjectId(hashlib.sha256(text.encode()).hexdigest()[:24])


def _named(field: str | None, value: object) -> Document:
    """The field with its value, or nothing where the layout lacks the field."""
    return {} if field is None else {field: value}


def _times(layout: MongoLayout, number: int) -> Document:
    answered = _FIRST_ANSWER + timedelta(minutes=number)
    return {layout.answers.created_at: answered, layout.answers.updated_at: answered}


def _insert(key: Document, content: Document) -> UpdateOne:
    return UpdateOne(key, {"$setOnInsert": content}, upsert=True)
