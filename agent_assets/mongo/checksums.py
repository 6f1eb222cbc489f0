"""What the plan asks MongoDB besides signatures: change tokens of profiles and questions, and a
checksum of every answer.

All of it hashes raw BSON: nothing is decoded but the elder's id, so a million answers take seconds.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from struct import Struct
from typing import Any

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database

from agent_assets.mongo.answers import dig, id_text
from agent_assets.mongo.layout import MongoLayout, elder_id_of
from agent_assets.mongo.reader import BINARY_ORDER
from agent_assets.mongo.retry import Document, Retry, with_retries

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
) -> tuple[dict[str, str], int]:
    """Change token by elder of the profile fields that are read, and how many elders have more than
    one profile.
    """
    names = layout.profiles
    if names is None:
        return {}, 0
    fields = [
        name for name in (names.id, names.name, names.language, *names.traits.values()) if name
    ]
    rows = _read_raw(db, names.collection, fields, retry)
    hashes: dict[str, list[str]] = {}
    for row in rows:
        elder = elder_id_of(dig(row, names.id), layout.elder_id_type)
        if elder is not None:
            hashes.setdefault(elder, []).append(hashlib.blake2b(row.raw, digest_size=8).hexdigest())
    twice = sum(len(profile_hashes) > 1 for profile_hashes in hashes.values())
    return {
        elder: "+".join(sorted(profile_hashes)) for elder, profile_hashes in hashes.items()
    }, twice


def question_tokens(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> dict[str, str]:
    """Change token by question id of its wording and category."""
    names = layout.questions
    fields = [name for name in (names.id, names.text, names.category) if name]
    rows = _read_raw(db, names.collection, fields, retry)
    return {
        id_text(dig(row, names.id)): hashlib.blake2b(row.raw, digest_size=8).hexdigest()
        for row in rows
    }


def elders_answering(
    db: Database[Document],
    layout: MongoLayout,
    questions: Iterable[str],
    *,
    retry: Retry | None = None,
) -> set[str]:
    """Elders with an answer to one of these questions, in whatever type the answers store the
    question's id.
    """
    names = layout.answers
    stored: list[Any] = []
    for text in questions:
        stored.append(text)
        stored += [ObjectId(text)] if ObjectId.is_valid(text) else []
        stored += [int(text)] if text.isascii() and text.isdecimal() and len(text) < 19 else []
    collection = db[names.collection]
    user_ids = with_retries(
        db.client,
        lambda: collection.distinct(names.elder, {names.question: {"$in": stored}}),
        retry or Retry(),
    )
    ids = [elder_id_of(value, layout.elder_id_type) for value in user_ids]
    return {elder for elder in ids if elder is not None}


def duplicate_ids(ids: Iterable[str]) -> int:
    """How many elder ids differ from another one in upper and lower case only: one folder on some
    file systems.
    """
    return sum(count for count in Counter(elder.lower() for elder in ids).values() if count > 1)


def _read_raw(
    db: Database[Document], name: str, fields: Iterable[str], retry: Retry | None
) -> list[RawBSONDocument]:
    options = CodecOptions(document_class=RawBSONDocument)
    collection = db[name].with_options(codec_options=options)
    projection = {"_id": 0, **dict.fromkeys(fields, 1)}
    return with_retries(
        db.client, lambda: list(collection.find({}, projection=projection)), retry or Retry()
    )
