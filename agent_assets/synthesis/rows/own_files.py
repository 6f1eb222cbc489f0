"""Rows of one's own, read from files: JSONL in the three row formats, and tables with questions and
answers (pandas; Parquet with polars, which reads it a batch at a time).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agent_assets.conversations.formats import read_row
from agent_assets.conversations.messages import Conversation, JsonObject, Message
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.synthesis.config import ColumnsConfig

MOST_BYTES = 256 << 20  # of one file
MOST_ROWS = 100_000  # of all files
_BATCH = 2_000
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = {".parquet", ".pq"}


@dataclass(frozen=True)
class OwnRow:
    """One row of a file, or why it is none.

    Args:
        place: file and number of the row, from 1.
    """

    place: str
    conversation: Conversation | None
    problem: str = ""


def own_rows_version(path: Path) -> str:
    """What fingerprints hold of a file. One that is too large to be read is not read for that,
    either.
    """
    info = path.stat()
    if info.st_size > MOST_BYTES:
        return f"too large: {info.st_size}"
    return _file_hash(path, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_hash(path: Path, _size: int, _modified_ns: int) -> str:
    # Plans ask for it again and again; size and time say whether it is still right.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_own_rows(paths: Iterable[Path], columns: ColumnsConfig | None) -> Iterator[OwnRow]:
    """The rows of files, in order.

    Raises:
        ConfigError: a file cannot be read as a whole, is too large, has no such column, or there
            are too many rows.
    """
    count = 0
    for path in paths:
        for row in _read(path, columns):
            count += 1
            if count > MOST_ROWS:
                raise ConfigError(
                    f"The files of train_jsonl.sources have more than {MOST_ROWS} rows.",
                    next_step="name fewer files, or take a sample of the rows.",
                )
            yield row


def _read(path: Path, columns: ColumnsConfig | None) -> Iterator[OwnRow]:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ConfigError(
            f"{path.name} has {size} bytes; at most {MOST_BYTES} are read of one file of rows.",
            next_step="take a sample of its rows, or only the columns that are needed.",
        )
    kind = path.suffix.lower()
    if kind == ".jsonl":
        return _json_lines(path, columns)
    if kind not in _SEPARATORS and kind not in _PARQUET:
        raise ConfigError(
            f"{path.name} is no file of rows.",
            next_step="name a .jsonl, .csv, .tsv or .parquet file in train_jsonl.sources.",
        )
    if columns is None:
        raise ConfigError(
            f"{path.name} is a table, and train_jsonl.columns does not say what its columns are.",
            next_step="write them in defs.yaml, as in `columns: {question: q, answer: a}`.",
        )
    records = _parquet(path, columns) if kind in _PARQUET else _csv(path, columns)
    return (
        _from_record(record, columns, f"{path.name}, row {number}")
        for number, record in enumerate(records, start=1)
    )


def _json_lines(path: Path, columns: ColumnsConfig | None) -> Iterator[OwnRow]:
    with path.open("rb") as lines:  # a newline alone ends a line: texts may hold U+2028
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path.name}, row {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                yield OwnRow(place, None, f"not JSON ({type(error).__name__})")
                continue
            yield _from_object(row, columns, place)


def _from_object(row: object, columns: ColumnsConfig | None, place: str) -> OwnRow:
    if not isinstance(row, dict):
        return OwnRow(place, None, "not a JSON object")
    if columns is not None and not {"messages", "conversations"} & row.keys():
        return _from_record(row, columns, place)
    try:
        return OwnRow(place, read_row(row))
    except TrainingDataError as error:
        return OwnRow(place, None, error.message)


def _from_record(record: Mapping[str, object], columns: ColumnsConfig, place: str) -> OwnRow:
    """A question and an answer; what is absent is empty, and rejected as such."""
    system = "" if columns.system is None else _text(record.get(columns.system))
    first = (Message("system", system),) if system else ()
    question, answer = _text(record.get(columns.question)), _text(record.get(columns.answer))
    turns = (Message("user", question), Message("assistant", answer))
    return OwnRow(place, Conversation((*first, *turns)))


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _csv(path: Path, columns: ColumnsConfig) -> Iterator[JsonObject]:
    import pandas as pd

    separator = _SEPARATORS[path.suffix.lower()]
    try:
        header = pd.read_csv(path, sep=separator, nrows=0)
        names = _names(path, list(header.columns), columns)
        frames: Iterable[pd.DataFrame] = pd.read_csv(
            path,
            sep=separator,
            usecols=names,
            dtype=str,
            keep_default_na=False,  # "NA" and "None" are answers
            chunksize=_BATCH,
        )
        for frame in frames:
            yield from frame.to_dict("records")
    except (ValueError, pd.errors.ParserError) as error:  # UnicodeDecodeError is one of the first
        raise ConfigError(
            f"{path.name} cannot be read as a table: {_reason(error)}.",
            next_step="save it as UTF-8 with a line of column names.",
        ) from None


def _parquet(path: Path, columns: ColumnsConfig) -> Iterator[JsonObject]:
    import polars as pl

    try:
        table = pl.scan_parquet(path)
        names = _names(path, table.collect_schema().names(), columns)
        # The number stands in the file's footer: nothing is read for it.
        rows = table.select(pl.len()).collect().item()
        if rows > MOST_ROWS:
            raise ConfigError(
                f"{path.name} has {rows} rows; at most {MOST_ROWS} are taken.",
                next_step="take a sample of its rows.",
            )
        for start in range(0, rows, _BATCH):
            yield from table.select(names).slice(start, _BATCH).collect().iter_rows(named=True)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"{path.name} cannot be read as Parquet: {_reason(error)}.",
            next_step="write it again, as with pandas' `to_parquet`.",
        ) from None


def _names(path: Path, present: list[str], columns: ColumnsConfig) -> list[str]:
    wanted = [name for name in (columns.question, columns.answer, columns.system) if name]
    if missing := [name for name in wanted if name not in present]:
        raise ConfigError(
            f"{path.name} has no column {missing[0]!r}.",
            next_step=f"name one of {', '.join(map(str, present))} in train_jsonl.columns.",
        )
    return list(dict.fromkeys(wanted))


def _reason(error: Exception) -> str:
    """The kind of an error: its text may quote what stands in the file."""
    return type(error).__name__
