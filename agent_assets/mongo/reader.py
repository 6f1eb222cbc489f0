"""Reads elders from MongoDB: one sorted cursor for many elders, whichever of the two layouts the
database has.

A user with the role `read` suffices: nothing here writes or creates an index.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter

from bson.objectid import ObjectId
from pymongo.collation import Collation
from pymongo.cursor import RawBatchCursor
from pymongo.database import Database
from pymongo.errors import PyMongoError

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import canonical_text_json
from agent_assets.conversations.set_aside import MAX_NAMES
from agent_assets.errors import MemoryDataError
from agent_assets.mongo.answers import Skipped, SkipReason, make_memories, make_profile
from agent_assets.mongo.codec import decoded, string_or_object_id
from agent_assets.mongo.layout import MongoLayout, check_elder_id, elder_id_of, stored_id
from agent_assets.mongo.questionnaire import Questionnaire
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.mongo.values import dig

MAX_ANSWER_CHARS = 20_000
BINARY_ORDER = Collation(
    locale="simple"
)  # a collection's own collation may take "a" and "A" for one elder
_IDS_PER_CURSOR = 50_000  # a query is at most 16 MB

Stored = str | ObjectId


@dataclass(frozen=True)
class ElderRecord:
    """Who an elder is and what is remembered of them; `skipped` counts unusable documents by
    SkipReason, `set_aside` names the first of them (`<_id>: <reason>`).
    """

    profile: ElderProfile
    memories: tuple[Memory, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    set_aside: tuple[str, ...] = ()


def content_digest(record: ElderRecord) -> str:
    """Data version of an elder: 32 hex digits over profile and memories.

    `updated_at` is left out, so that a touch without a change rebuilds nothing; so are the skipped
    documents.
    """
    # vars, not asdict: it copies nothing, and this runs over every answer of every elder.
    memories = [
        {key: value for key, value in vars(m).items() if key != "updated_at"}
        for m in record.memories
    ]
    content = {"profile": vars(record.profile), "memories": memories}
    return hashlib.sha256(canonical_text_json(content)).hexdigest()[:32]


def read_elder(
    db: Database[Document],
    layout: MongoLayout,
    elder_id: str,
    *,
    max_answer_chars: int = MAX_ANSWER_CHARS,
    retry: Retry | None = None,
) -> ElderRecord:
    """Read one elder.

    Raises:
        MemoryDataError: the id cannot be used, or the elder has no usable answer.
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    (record,) = iter_elders(db, layout, [elder_id], max_answer_chars=max_answer_chars, retry=retry)
    if not record.memories:
        reasons = ", ".join(f"{reason} {count}" for reason, count in record.skipped.items())
        raise MemoryDataError(
            f"Elder {elder_id} has no usable answer in {db.name}.{layout.answers.collection}"
            + (f"; skipped: {reasons}." if reasons else ": there is none at all."),
            next_step="let the elder answer a question, or check the collections and field names "
            "in defs.yaml.",
        )
    return record


def iter_elders(
    db: Database[Document],
    layout: MongoLayout,
    elder_ids: Iterable[str] | None = None,
    *,
    max_answer_chars: int = MAX_ANSWER_CHARS,
    retry: Retry | None = None,
) -> Iterator[ElderRecord]:
    """Read many elders with one cursor, sorted by stored id; all that have answers if `elder_ids`
    is None.

    An elder without a usable answer is a record without memories, so that the others go on. Stored
    ids that cannot be partition keys are left out: `list_elder_ids` counts them. An interrupted
    read goes on after the last whole elder.

    Raises:
        MemoryDataError: one of `elder_ids` cannot be used; raised before anything is read.
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    selected = None
    if elder_ids is not None:
        names = set(elder_ids)
        for elder_id in names:
            check_elder_id(elder_id, layout.elder_id_type)
        # as the database sorts them: partition keys may sort differently
        selected = sorted(names, key=lambda key: str(stored_id(key, layout.elder_id_type)))
    return _records(db, layout, selected, max_answer_chars, retry or Retry())


def _records(
    db: Database[Document],
    layout: MongoLayout,
    elder_ids: Sequence[str] | None,
    max_answer_chars: int,
    retry: Retry,
) -> Iterator[ElderRecord]:
    questionnaire = with_retries(db.client, lambda: _questionnaire(db, layout), retry)
    profiles = with_retries(db.client, lambda: _profiles(db, layout, elder_ids), retry)
    broken: Counter[Stored] = Counter()
    for elder_id, documents in _answers_by_elder(db, layout, elder_ids, broken, retry):
        memories, skipped = make_memories(
            elder_id, documents, layout.answers, questionnaire, max_answer_chars=max_answer_chars
        )
        profile, unusable = make_profile(
            elder_id, profiles.get(elder_id, {}), layout.profiles, memories
        )
        if broken:
            for _ in range(broken.pop(stored_id(elder_id, layout.elder_id_type), 0)):
                skipped.add(SkipReason.UNREADABLE, "a document")
        yield _record(profile, memories, skipped, unusable)


def _record(
    profile: ElderProfile, memories: tuple[Memory, ...], skipped: Skipped, unusable: Skipped
) -> ElderRecord:
    counts = skipped.counts + unusable.counts
    names = (*unusable.names, *sorted(skipped.names))
    return ElderRecord(profile, memories, dict(sorted(counts.items())), names[:MAX_NAMES])


def _answers_by_elder(
    db: Database[Document],
    layout: MongoLayout,
    elder_ids: Sequence[str] | None,
    broken: "Counter[Stored]",
    retry: Retry,
) -> Iterator[tuple[str, list[Document]]]:
    """Every elder that was asked for, in order of ids: one without answers comes with an empty
    list.
    """
    if elder_ids is None:
        for stored, documents in _groups(db, layout, {}, broken, retry):
            elder_id = elder_id_of(stored, layout.elder_id_type)
            if elder_id is not None:
                yield elder_id, documents
        return
    for start in range(0, len(elder_ids), _IDS_PER_CURSOR):
        batch = elder_ids[start : start + _IDS_PER_CURSOR]
        ids = {stored_id(elder_id, layout.elder_id_type): elder_id for elder_id in batch}
        waiting = iter(ids.items())
        for stored, documents in _groups(db, layout, {"$in": list(ids)}, broken, retry):
            for waiting_id, elder_id in waiting:
                yield elder_id, documents if waiting_id == stored else []
                if waiting_id == stored:
                    break
        for _, elder_id in waiting:
            yield elder_id, []


def _groups(
    db: Database[Document],
    layout: MongoLayout,
    condition: Document,
    broken: "Counter[Stored]",
    retry: Retry,
) -> Iterator[tuple[Stored, list[Document]]]:
    """Answers by stored elder id; those that cannot be decoded are counted in `broken`. A lost
    connection is resumed after the last elder that was read to the end.
    """
    groups = _Groups(db, layout, condition, broken)
    try:
        while (group := with_retries(db.client, groups.read_next, retry)) is not None:
            yield group
    finally:
        groups.close()


class _Groups:
    """One cursor over answers, opened anew behind the last elder after a failure."""

    def __init__(
        self,
        db: Database[Document],
        layout: MongoLayout,
        condition: Document,
        broken: "Counter[Stored]",
    ) -> None:
        self._db, self._layout, self._condition = db, layout, condition
        self._broken = broken
        self._cursor: RawBatchCursor[Document] | None = None
        self._groups: Iterator[tuple[Stored, Iterator[Document]]] = iter(())

    def read_next(self) -> tuple[Stored, list[Document]] | None:
        """The answers of the next elder; None at the end."""
        name = self._layout.answers.elder
        if self._cursor is None:
            self._cursor = _answers_cursor(self._db, self._layout, self._condition)
            documents = decoded(self._cursor, lambda raw: _count_broken(raw, name, self._broken))
            elder_of = partial(dig, path=name) if "." in name else itemgetter(name)
            self._groups = groupby(documents, key=elder_of)
        try:
            group = next(self._groups, None)
            if group is None:
                return None
            stored, answers = group[0], list(group[1])
        except PyMongoError:
            self.close()
            raise
        # An id of bytes that are not UTF-8 cannot be asked for: it is nobody's.
        if elder_id_of(stored, self._layout.elder_id_type):
            self._condition = {**self._condition, "$gt": stored}
        return stored, answers

    def close(self) -> None:
        """Let the server forget the cursor."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None


def _count_broken(raw: bytes, elder: str, broken: "Counter[Stored]") -> None:
    stored = string_or_object_id(raw, elder)
    if isinstance(stored, str | ObjectId):
        broken[stored] += 1


def _answers_cursor(
    db: Database[Document], layout: MongoLayout, condition: Document
) -> RawBatchCursor[Document]:
    names = layout.answers.model_dump(exclude={"collection"}, exclude_none=True).values()
    kind = "objectId" if layout.elder_id_type == "objectid" else "string"
    return db[layout.answers.collection].find_raw_batches(
        # Conditions look into arrays: a list of ids would match, and split the group of the elder
        # it sorts beside.
        {layout.answers.elder: {"$type": kind, "$not": {"$type": "array"}, **condition}},
        projection={"_id": 1, **dict.fromkeys(names, 1)},
        sort=[(layout.answers.elder, 1)],
        collation=BINARY_ORDER,
        # without an index on the elder the server sorts, maybe more than fits its memory
        allow_disk_use=True,
    )


def read_questionnaire(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> list[str]:
    """The wordings of all questions of the questions collection, sorted, each once; empty ones are
    left out.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    questionnaire = with_retries(db.client, lambda: _questionnaire(db, layout), retry or Retry())
    return sorted({question.text for question in questionnaire.by_id.values() if question.text})


def _questionnaire(db: Database[Document], layout: MongoLayout) -> Questionnaire:
    names = layout.questions
    fields = [name for name in (names.id, names.text, names.category) if name]
    batches = db[names.collection].find_raw_batches(
        {}, projection={"_id": 0, **dict.fromkeys(fields, 1)}
    )
    return Questionnaire(names, decoded(batches))


def _profiles(
    db: Database[Document], layout: MongoLayout, elder_ids: Sequence[str] | None
) -> dict[str, Document]:
    """Profile documents by elder id; of several with one id the one with the lowest text, whatever
    their order.
    """
    names = layout.profiles
    if names is None:
        return {}
    few = elder_ids is not None and len(elder_ids) <= _IDS_PER_CURSOR
    condition = (
        {names.id: {"$in": [stored_id(e, layout.elder_id_type) for e in elder_ids or ()]}}
        if few
        else {}
    )
    fields = [
        name for name in (names.id, names.name, names.language, *names.traits.values()) if name
    ]
    batches = db[names.collection].find_raw_batches(
        condition, projection={"_id": 0, **dict.fromkeys(fields, 1)}
    )
    pairs = [
        (elder_id_of(dig(document, names.id), layout.elder_id_type), document)
        for document in decoded(batches)
    ]
    ordered = sorted(
        ((e, document) for e, document in pairs if e), key=lambda pair: repr(pair[1]), reverse=True
    )
    return dict(ordered)
