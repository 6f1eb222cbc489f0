"""Which elders are there, and which may have changed: cheap enough for every tick of a sensor.

A signature moves with every write that keeps `updatedAt`, and with every delete. It says which
elders to read again; what they told is compared by `reader.content_digest`.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from pymongo.database import Database

from agent_assets.mongo.layout import MongoLayout, elder_id_of, stored_id
from agent_assets.mongo.reader import BINARY_ORDER
from agent_assets.mongo.retry import Document, Retry, with_retries


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
    """Elder ids that have answers, sorted, and how many stored ids cannot be partition keys."""

    valid: tuple[str, ...]
    invalid: int


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
    ids = [elder_id_of(row["_id"], layout.elder_id_type) for row in rows]
    valid = sorted(elder_id for elder_id in ids if elder_id is not None)
    return ElderIds(tuple(valid), len(ids) - len(valid))


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
    changed = {"$ifNull": [f"${answers.updated_at}", f"${answers.created_at}"]}
    as_date = {
        "$convert": {"input": changed, "to": "date", "onError": None, "onNull": None}
    }  # some write ISO text
    from_text = {"$convert": {"input": as_date, "to": "long", "onError": 0, "onNull": 0}}
    as_ms = {"$convert": {"input": changed, "to": "long", "onError": from_text, "onNull": 0}}
    # The maximum is converted here, once per elder: a conversion per answer is most of what this
    # costs the server.
    group = {
        "_id": f"${answers.elder}",
        "count": {"$sum": 1},
        "max": {"$max": changed},
        "sum": {"$sum": as_ms},
    }
    retry = retry or Retry()
    hint = _hint(db, layout, retry)
    matches: list[list[Document]] = (
        [[]] if hint is None else _halves(layout, _elder_ids(db, layout, hint, retry))
    )
    pipelines = [[*match, {"$group": group}] for match in matches]
    with ThreadPoolExecutor(len(pipelines)) as pool:
        batches = list(
            pool.map(lambda pipeline: _aggregate(db, layout, pipeline, hint, retry), pipelines)
        )
    signatures = {}
    for row in chain.from_iterable(batches):
        elder_id = elder_id_of(row["_id"], layout.elder_id_type)
        if elder_id is not None:
            signatures[elder_id] = Signature(int(row["count"]), _ms(row["max"]), int(row["sum"]))
    return dict(sorted(signatures.items()))


def _halves(layout: MongoLayout, ids: ElderIds) -> list[list[Document]]:
    """Conditions that share the elders between two connections. Without an index each would read
    every answer.
    """
    if len(ids.valid) < 2:
        return [[]]
    middle = stored_id(ids.valid[len(ids.valid) // 2], layout.elder_id_type)
    return [[{"$match": {layout.answers.elder: {side: middle}}}] for side in ("$lt", "$gte")]


def _ms(changed: object) -> int:
    """Milliseconds since 1970 of a date, or of one as ISO text; 0 for anything else."""
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed)
        except ValueError:
            return 0
    if not isinstance(changed, datetime):
        return 0
    return round(changed.replace(tzinfo=changed.tzinfo or UTC).timestamp() * 1000)


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
        lambda: list(
            collection.aggregate(pipeline, collation=BINARY_ORDER, allowDiskUse=True, **options)
        ),
        retry,
    )


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
