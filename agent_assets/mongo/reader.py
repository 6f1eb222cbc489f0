"""Reads elders from MongoDB: one sorted cursor for many elders, whichever of the two layouts the
database has.

A user with the role `read` suffices: nothing here writes or creates an index.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.objectid import ObjectId
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import OperationFailure

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import canonical_text_json
from agent_assets.errors import MemoryDataError
from agent_assets.mongo.answers import (
    QuestionText,
    clean_text,
    dig,
    id_text,
    make_memories,
    make_profile,
)
from agent_assets.mongo.layout import MongoLayout, check_elder_id, elder_id_of, stored_id
from agent_assets.mongo.retry import TRANSIENT, Document, Retry, refused, unavailable, with_retries

MAX_ANSWER_CHARS = 20_000
BINARY_ORDER = Collation(
    locale="simple"
)  # a collection's own collation may take "a" and "A" for one elder
_IDS_PER_CURSOR = 50_000  # a query is at most 16 MB

# One broken document must not end the read of all elders: bad UTF-8 and far-off dates arrive, and
# are skipped as such.
_TOLERANT: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

Stored = str | ObjectId


@dataclass(frozen=True)
class ElderRecord:
    """Who an elder is and what is remembered of them; `skipped` counts unusable documents by
    SkipReason.
    """

    profile: ElderProfile
    memories: tuple[Memory, ...]
    skipped: dict[str, int] = field(default_factory=dict)


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
    """Read many elders with one cursor, sorted by id; all that have answers if `elder_ids` is None.

    An elder without a usable answer is a record without memories, so that the others go on. Stored
    ids that cannot be partition keys are left out: `list_elder_ids` counts them. An interrupted
    read goes on after the last whole elder.

    Raises:
        MemoryDataError: one of `elder_ids` cannot be used; raised before anything is read.
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    selected = None if elder_ids is None else sorted(set(elder_ids))
    for elder_id in selected or ():
        check_elder_id(elder_id, layout.elder_id_type)
    return _records(db, layout, selected, max_answer_chars, retry or Retry())


def _records(
    db: Database[Document],
    layout: MongoLayout,
    elder_ids: Sequence[str] | None,
    max_answer_chars: int,
    retry: Retry,
) -> Iterator[ElderRecord]:
    questions = with_retries(db.client, lambda: _questions(db, layout), retry)
    profiles = with_retries(db.client, lambda: _profiles(db, layout, elder_ids), retry)
    for elder_id, documents in _answers_by_elder(db, layout, elder_ids, retry):
        memories, skipped = make_memories(
            elder_id, documents, layout.answers, questions, max_answer_chars=max_answer_chars
        )
        profile, unusable = make_profile(
            elder_id, profiles.get(elder_id, {}), layout.profiles, memories
        )
        yield ElderRecord(
            profile, memories, {str(key): n for key, n in sorted((skipped + unusable).items())}
        )


def _answers_by_elder(
    db: Database[Document], layout: MongoLayout, elder_ids: Sequence[str] | None, retry: Retry
) -> Iterator[tuple[str, list[Document]]]:
    """Every elder that was asked for, in order of ids: one without answers comes with an empty
    list.
    """
    if elder_ids is None:
        for stored, documents in _groups(db, layout, {}, retry):
            elder_id = elder_id_of(stored, layout.elder_id_type)
            if elder_id is not None:
                yield elder_id, documents
        return
    for start in range(0, len(elder_ids), _IDS_PER_CURSOR):
        batch = elder_ids[start : start + _IDS_PER_CURSOR]
        ids = {stored_id(elder_id, layout.elder_id_type): elder_id for elder_id in batch}
        waiting = iter(ids.items())
        for stored, documents in _groups(db, layout, {"$in": list(ids)}, retry):
            for waiting_id, elder_id in waiting:
                yield elder_id, documents if waiting_id == stored else []
                if waiting_id == stored:
                    break
        for _, elder_id in waiting:
            yield elder_id, []


def _groups(
    db: Database[Document], layout: MongoLayout, condition: Document, retry: Retry
) -> Iterator[tuple[Stored, list[Document]]]:
    """Answers by stored elder id. A lost connection is resumed after the last elder that was read
    to the end.
    """
    name = layout.answers.elder
    elder_of = partial(dig, path=name) if "." in name else itemgetter(name)
    after: Stored | None = None
    failures = 0
    while True:
        resumed = condition if after is None else {**condition, "$gt": after}
        try:
            with _answers_cursor(db, layout, resumed) as cursor:
                for stored, documents in groupby(cursor, key=elder_of):
                    whole = list(documents)
                    failures = 0
                    yield stored, whole
                    after = stored
            return
        except TRANSIENT as error:
            failures += 1
            if failures >= retry.attempts:
                raise unavailable(db.client, error, failures) from error
        except OperationFailure as error:
            raise refused(db.client, error) from error
        retry.wait(failures)


def _answers_cursor(
    db: Database[Document], layout: MongoLayout, condition: Document
) -> Cursor[Document]:
    names = layout.answers.model_dump(exclude={"collection"}, exclude_none=True).values()
    kind = "objectId" if layout.elder_id_type == "objectid" else "string"
    return _collection(db, layout.answers.collection).find(
        # Conditions look into arrays: a list of ids would match, and split the group of the elder
        # it sorts beside.
        {layout.answers.elder: {"$type": kind, "$not": {"$type": "array"}, **condition}},
        projection={"_id": 0, **dict.fromkeys(names, 1)},
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
    questions = with_retries(db.client, lambda: _questions(db, layout), retry or Retry())
    return sorted({question.text for question in questions.values() if question.text})


def _questions(db: Database[Document], layout: MongoLayout) -> dict[str, QuestionText]:
    names = layout.questions
    fields = [name for name in (names.id, names.text, names.category) if name]
    documents = _collection(db, names.collection).find(
        {}, projection={"_id": 0, **dict.fromkeys(fields, 1)}
    )
    return {
        id_text(dig(document, names.id)): QuestionText(
            clean_text(dig(document, names.text)) or "",
            clean_text(dig(document, names.category)) or "",
        )
        for document in documents
    }


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
    cursor = _collection(db, names.collection).find(
        condition, projection={"_id": 0, **dict.fromkeys(fields, 1)}
    )
    pairs = [
        (elder_id_of(dig(document, names.id), layout.elder_id_type), document)
        for document in cursor
    ]
    ordered = sorted(
        ((e, document) for e, document in pairs if e), key=lambda pair: repr(pair[1]), reverse=True
    )
    return dict(ordered)


def _collection(db: Database[Document], name: str) -> Collection[Document]:
    return db.get_collection(name, codec_options=_TOLERANT)
