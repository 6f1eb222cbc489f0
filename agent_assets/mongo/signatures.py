"""Which elders are there, and which may have changed: cheap enough for every tick of a sensor.

A signature moves with every write that keeps `updatedAt`, and with every delete. It says which
elders to read again; what they told is compared by `reader.content_digest`.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from types import NoneType
from typing import Any

from pymongo.database import Database

from agent_assets.conversations.set_aside import SetAside
from agent_assets.mongo.codec import decoded
from agent_assets.mongo.layout import MongoLayout, elder_id_of, stored_id
from agent_assets.mongo.reader import BINARY_ORDER
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.mongo.values import id_text


@dataclass(frozen=True)
class Signature:
    """Number of an elder's answers, and maximum and sum of their last change (ms since 1970, 0
    where unknown).
    """

    count: int
    max_updated: int
    sum_updated: int


@dataclass(frozen=True)
class ElderIds:
    """Partition keys of elders that have answers, sorted, and the stored ids that cannot have
    one.
    """

    valid: tuple[str, ...]
    invalid: SetAside


def list_elder_ids(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> ElderIds:
    """Every elder with at least one answer.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    retry = retry or Retry()
    return _elder_ids(db, layout, _hint(db, layout, retry), retry)


def _elder_ids(
    db: Database[Document], layout: MongoLayout, hint: str | None, retry: Retry
) -> ElderIds:
    rows = _aggregate(db, layout, [{"$group": {"_id": f"${layout.answers.elder}"}}], hint, retry)
    valid: list[str] = []
    others: list[str] = []
    for row in rows:
        elder_id = elder_id_of(row.get("_id"), layout.elder_id_type)
        if elder_id is None:
            others.append(_shown(row.get("_id")))
        else:
            valid.append(elder_id)
    invalid = SetAside()
    for name in sorted(others):
        invalid.add(name)
    return ElderIds(tuple(sorted(valid)), invalid)


def _shown(stored: object) -> str:
    """A stored id with its type, where that is what is wrong with it."""
    kind = "" if isinstance(stored, str | NoneType) else f" ({type(stored).__name__})"
    return "none" if stored is None else f"{id_text(stored)}{kind}"


def elder_signatures(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> dict[str, Signature]:
    """Signature of every elder with a usable id: the two halves of an index at once, one pass where
    there is none.

    Each elder is in one half: what is written in the meantime is seen as if it came before or
    after.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    answers = layout.answers
    changed: Document = {"$ifNull": [f"${answers.updated_at}", f"${answers.created_at}"]}
    group = {
        "_id": f"${answers.elder}",
        "count": {"$sum": 1},
        "max": {"$max": changed},
        "sum": {"$sum": _as_ms(changed)},
    }
    # The maximum is converted once per elder: a conversion per answer is most of what this costs
    # the server.
    last = {"count": 1, "sum": 1, "max": _as_ms("$max")}
    retry = retry or Retry()
    hint = _hint(db, layout, retry)
    matches: list[list[Document]] = (
        [[]] if hint is None else _halves(layout, _elder_ids(db, layout, hint, retry))
    )
    pipelines = [[*match, {"$group": group}, {"$project": last}] for match in matches]
    with ThreadPoolExecutor(len(pipelines)) as pool:
        batches = list(
            pool.map(lambda pipeline: _aggregate(db, layout, pipeline, hint, retry), pipelines)
        )
    signatures = {}
    for row in chain.from_iterable(batches):
        elder_id = elder_id_of(row.get("_id"), layout.elder_id_type)
        if elder_id is not None:
            signatures[elder_id] = Signature(int(row["count"]), int(row["max"]), int(row["sum"]))
    return dict(sorted(signatures.items()))


def _halves(layout: MongoLayout, ids: ElderIds) -> list[list[Document]]:
    """Conditions that share the elders between two connections. Without an index each would read
    every answer.
    """
    if len(ids.valid) < 2:
        return [[]]
    middle = stored_id(ids.valid[len(ids.valid) // 2], layout.elder_id_type)
    return [[{"$match": {layout.answers.elder: {side: middle}}}] for side in ("$lt", "$gte")]


def _as_ms(time: str | Document) -> Document:
    """An expression of milliseconds since 1970 of a date, a Timestamp, a number or a text; 0 for
    anything else.
    """
    # Some write text; that of JavaScript ends with a zone in brackets, which MongoDB cannot read.
    text = {"$arrayElemAt": [{"$split": [time, " ("]}, 0]}
    plain = {"$cond": [{"$eq": [{"$type": time}, "string"]}, text, time]}
    as_date = {"$convert": {"input": plain, "to": "date", "onError": None, "onNull": None}}
    from_text = {"$convert": {"input": as_date, "to": "long", "onError": 0, "onNull": 0}}
    return {"$convert": {"input": time, "to": "long", "onError": from_text, "onNull": 0}}


def recommended_index(layout: MongoLayout) -> list[tuple[str, int]]:
    """Keys of the index that answers `elder_signatures` without reading documents, and sorts for
    the reader.
    """
    answers = layout.answers
    return [(answers.elder, 1), (answers.updated_at, 1), (answers.created_at, 1)]


def has_recommended_index(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> bool:
    """Whether the index is there. `agent-assets doctor` recommends it; the reader never creates
    one.
    """
    index_fields = {name for name, _ in recommended_index(layout)}
    return any(
        index_fields <= set(index["key"]) for index in _usable_indexes(db, layout, retry or Retry())
    )


def _aggregate(
    db: Database[Document],
    layout: MongoLayout,
    pipeline: list[Document],
    hint: str | None,
    retry: Retry,
) -> list[Document]:
    options: dict[str, Any] = {} if hint is None else {"hint": hint}
    collection = db.get_collection(layout.answers.collection)
    return with_retries(
        db.client,
        lambda: _rows(
            collection.aggregate_raw_batches(
                pipeline, collation=BINARY_ORDER, allowDiskUse=True, **options
            )
        ),
        retry,
    )


def _rows(batches: Iterable[Any]) -> list[Document]:
    """The rows of an aggregation; one that cannot be decoded is empty: its `_id` is nobody's."""
    broken: list[Document] = []
    rows = list(decoded(batches, lambda _: broken.append({})))
    return rows + broken


def _usable_indexes(db: Database[Document], layout: MongoLayout, retry: Retry) -> list[Document]:
    """Indexes that start with the elder and hold every document: a sparse or partial one would hide
    answers.
    """
    collection = db[layout.answers.collection]
    indexes = with_retries(
        db.client, lambda: [dict(index) for index in collection.list_indexes()], retry
    )
    partial = {"sparse", "partialFilterExpression", "collation", "hidden"}
    return [
        index
        for index in indexes
        if next(iter(index["key"])) == layout.answers.elder
        and all(direction in (1, -1) for direction in index["key"].values())
        and not partial & set(index)
    ]


def _hint(db: Database[Document], layout: MongoLayout, retry: Retry) -> str | None:
    """Name of the index that holds most of what a signature needs; without a hint the server reads
    every document.
    """
    needed = {layout.answers.updated_at, layout.answers.created_at}
    indexes = _usable_indexes(db, layout, retry)
    ranked = sorted(
        indexes,
        key=lambda index: (-len(needed & set(index["key"])), len(index["key"]), index["name"]),
    )
    return str(ranked[0]["name"]) if ranked else None
