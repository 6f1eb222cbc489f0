"""What the plan asks MongoDB besides signatures: change tokens of profiles and questions, and a
checksum of every answer.

All of it hashes raw BSON: nothing is decoded but the elder's id, so a million answers take seconds.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import isfinite
from struct import Struct
from typing import Any
from uuid import UUID

from bson import ObjectId
from bson.binary import Binary
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database

from agent_assets.conversations.set_aside import SetAside
from agent_assets.mongo.codec import decoded, raw_documents
from agent_assets.mongo.layout import MongoLayout, elder_id_of
from agent_assets.mongo.reader import BINARY_ORDER
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.mongo.texts import clean_text
from agent_assets.mongo.values import dig, id_text

_RAW_STRING, _RAW_OBJECT_ID = b"\x02", b"\x07"  # BSON types
# after the document's length (4 bytes), the type byte of `_id`, and its name with the closing zero
_ID_START = 9
_MASK = (1 << 128) - 1
_BATCH = 4_000  # documents


def answer_checksums(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> dict[str, str]:
    """Checksum by elder of all that is read of their answers but `updated_at`. The order of
    documents does not matter.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    names = layout.answers.model_dump(
        exclude={"collection", "elder", "updated_at"}, exclude_none=True
    ).values()
    fields = {f"f{number}": f"${name}" for number, name in enumerate(sorted(set(names)))}
    # `_id` comes first in what $project makes: the elder's id then stands at a fixed place of every
    # document.
    pipeline = [{"$project": {"_id": f"${layout.answers.elder}", **fields}}]
    collection = db[layout.answers.collection]
    return with_retries(db.client, lambda: _sum_up(collection, pipeline, layout), retry or Retry())


def _sum_up(
    collection: Collection[Document], pipeline: list[Document], layout: MongoLayout
) -> dict[str, str]:
    text = layout.elder_id_type != "objectid"
    id_field = (_RAW_STRING if text else _RAW_OBJECT_ID) + b"_id\0"
    sums: dict[bytes, int] = {}
    blake, number, int32_at = hashlib.blake2b, int.from_bytes, Struct("<i").unpack_from
    batches: Iterator[Any] = collection.aggregate_raw_batches(
        pipeline, collation=BINARY_ORDER, batchSize=_BATCH
    )
    for batch in _read_ahead(batches):
        position, end = 0, len(batch)
        while position < end:
            start, position = position, position + int32_at(batch, position)[0]
            if not batch.startswith(id_field, start + 4):
                continue  # no id, or one of another type: no elder
            first = start + _ID_START + (4 if text else 0)
            elder = batch[first : first + (int32_at(batch, first - 4)[0] - 1 if text else 12)]
            digest = blake(batch[start:position], digest_size=16).digest()
            sums[elder] = sums.get(elder, 0) + number(digest, "little")
    named = ((_elder_id(raw, layout), total & _MASK) for raw, total in sums.items())
    return {elder: f"{total:032x}" for elder, total in named if elder is not None}


def _read_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches; the server makes the next one while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _elder_id(raw: bytes, layout: MongoLayout) -> str | None:
    if layout.elder_id_type == "objectid":
        return str(ObjectId(raw))
    try:
        return elder_id_of(raw.decode(), layout.elder_id_type)
    except UnicodeDecodeError:
        return None


def profile_tokens(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> tuple[dict[str, str], int, SetAside]:
    """Change token by elder of the profile fields that are read, how many elders have more than one
    profile, and the profiles that cannot be decoded.
    """
    broken = SetAside()
    names = layout.profiles
    if names is None:
        return {}, 0, broken
    fields = [
        name for name in (names.id, names.name, names.language, *names.traits.values()) if name
    ]
    hashes: dict[str, list[str]] = {}
    for stored, digest in _id_and_hash(db, names.collection, names.id, fields, broken, retry):
        elder = elder_id_of(stored, layout.elder_id_type)
        if elder is not None:
            hashes.setdefault(elder, []).append(digest)
    twice = sum(len(profile_hashes) > 1 for profile_hashes in hashes.values())
    tokens = {elder: "+".join(sorted(profile_hashes)) for elder, profile_hashes in hashes.items()}
    return tokens, twice, broken


def question_tokens(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> tuple[dict[str, str], SetAside]:
    """Change token by question id of its wording and category, and the questions without a wording
    that can be read.
    """
    names = layout.questions
    fields = [name for name in (names.id, names.text, names.category) if name]
    unusable = SetAside()
    tokens: dict[str, list[str]] = {}
    for stored, digest in _id_and_hash(
        db, names.collection, names.id, fields, unusable, retry, needed=names.text
    ):
        tokens.setdefault(id_text(stored), []).append(digest)
    return {question: "+".join(sorted(hashes)) for question, hashes in tokens.items()}, unusable


def elders_answering(
    db: Database[Document],
    layout: MongoLayout,
    questions: Iterable[str],
    *,
    retry: Retry | None = None,
) -> set[str]:
    """Elders with an answer to one of these questions, in whatever type the answers store the
    question's id, and whether they store the id, a DBRef, or the whole question.
    """
    names = layout.answers
    stored = [value for text in questions for value in _stored_forms(text)]
    paths = (names.question, f"{names.question}.$id", f"{names.question}.{layout.questions.id}")
    condition = {"$or": [{path: {"$in": stored}} for path in paths]}
    pipeline: list[Document] = [{"$match": condition}, {"$group": {"_id": f"${names.elder}"}}]
    collection = db[names.collection]
    rows = with_retries(
        db.client,
        lambda: list(decoded(collection.aggregate_raw_batches(pipeline, collation=BINARY_ORDER))),
        retry or Retry(),
    )
    ids = [elder_id_of(row.get("_id"), layout.elder_id_type) for row in rows]
    return {elder for elder in ids if elder is not None}


def _stored_forms(text: str) -> list[Any]:
    """What an answer may store for the question of this id. MongoDB compares numbers of all types
    by value.
    """
    forms: list[Any] = [text]
    if ObjectId.is_valid(text):
        forms += [ObjectId(text), text.upper(), text.lower()]
    with suppress(ValueError):
        number = float(text)
        forms += [number, str(number), str(int(number))] if isfinite(number) else []
    with suppress(ValueError):
        forms.append(Binary.from_uuid(UUID(text)))
    return forms


def duplicate_ids(ids: Iterable[str]) -> int:
    """How many elder ids differ from another one in upper and lower case only: one folder on some
    file systems.
    """
    return sum(count for count in Counter(elder.lower() for elder in ids).values() if count > 1)


def _id_and_hash(
    db: Database[Document],
    name: str,
    id_field: str,
    fields: Iterable[str],
    set_aside: SetAside,
    retry: Retry | None,
    *,
    needed: str | None = None,
) -> list[tuple[Any, str]]:
    """Stored id and hash of every document of a collection. One that cannot be decoded, or has no
    text in the field `needed`, is set aside; the latter has its hash all the same.
    """
    projection = {"_id": 0, **dict.fromkeys(fields, 1)}
    rows: list[RawBSONDocument] = with_retries(
        db.client,
        lambda: list(raw_documents(db[name].find_raw_batches({}, projection=projection))),
        retry or Retry(),
    )
    hashes = []
    for row in rows:
        try:
            stored = dig(row, id_field)
            usable = needed is None or bool(clean_text(dig(row, needed)))
        except InvalidBSON:
            set_aside.add(f"a document of {name}")
            continue
        if not usable:
            set_aside.add(id_text(stored))
        hashes.append((stored, hashlib.blake2b(row.raw, digest_size=8).hexdigest()))
    return hashes
