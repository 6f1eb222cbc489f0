"""What agents learned from and how they do, as pandas tables: in a notebook

    from agent_assets.data import load
    load("energy_expert", "train_jsonl")
    load("elder_companion", "eval_report", "ann@example.org")

and for all agents at once, `table("rejects")` or `agent-assets data rejects`.

Tables of rows hold what people told. A table that is kept or sent on is a copy that erasing an
elder does not find.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent_assets.conversations.messages import read_json_lines
from agent_assets.errors import ConfigError, StoreError
from agent_assets.evaluation.frames import (
    coverage_frame,
    rejects_frame,
    rows_frame,
    scores_frame,
)
from agent_assets.evaluation.report_schema import read_report
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.partition_keys import as_partition_key, elder_id_of_key

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import dagster as dg
    import pandas as pd

Table = Literal["rows", "rejects", "coverage", "scores"]

_TABLES: dict[str, tuple[str, "Callable[[Path], pd.DataFrame]"]] = {
    "rows": ("train_jsonl", lambda folder: rows_frame(read_json_lines(folder / "train.jsonl"))),
    "rejects": (
        "train_jsonl",
        lambda folder: rejects_frame(read_json_lines(folder / "rejects.jsonl")),
    ),
    "coverage": (
        "train_jsonl",
        lambda folder: coverage_frame(json.loads((folder / "coverage.json").read_bytes())),
    ),
    "scores": ("eval_report", lambda folder: scores_frame(read_report(folder))),
}
TABLES = tuple(_TABLES)
# Of every asset that has one, its table, and for the others the lines of a file.
_ASSETS: dict[str, "Callable[[Path], pd.DataFrame]"] = {
    "train_jsonl": _TABLES["rows"][1],
    "eval_report": _TABLES["scores"][1],
    "questions": lambda folder: _lines(folder / "questions.jsonl"),
    "elder_memories": lambda folder: _lines(folder / "memories.jsonl"),
}


def load(pipeline: str, asset: str, partition: str | None = None) -> "pd.DataFrame":
    """The latest artifact of an asset as a table.

    Args:
        asset: `train_jsonl` (its rows), `eval_report` (its scores), `questions` or
            `elder_memories`.
        partition: the elder, by id or partition key; None in a pipeline without elders.

    Raises:
        ConfigError: an asset that is no table.
        StoreError: it is not materialized.
    """
    if asset not in _ASSETS:
        raise ConfigError(
            f"The asset {asset!r} is no table.", next_step=f"load one of {', '.join(_ASSETS)}."
        )
    settings = load_settings()
    key = ArtifactKey(pipeline, asset, as_partition_key(partition) if partition else None)
    with _instance(settings) as instance:
        artifact = materialized_artifact(settings, instance, key)
    if artifact is None:
        raise StoreError(f"{key} is not materialized.", next_step="materialize it first.")
    return _ASSETS[asset](artifact.path)


def table(name: Table, settings: Settings | None = None) -> "pd.DataFrame":
    """A table of all agents: each line begins with `pipeline` and `elder` (None where there is
    none).

    Args:
        name: `rows`, `rejects`, `coverage` or `scores`.
    """
    import pandas as pd

    asset, read = _TABLES[name]
    frames = []
    for artifact in _latest(settings or load_settings(), asset):
        frame = read(artifact.path)
        partition = artifact.key.partition
        elder = None if partition is None else elder_id_of_key(partition) or partition
        frame.insert(0, "elder", [elder] * len(frame))
        frame.insert(0, "pipeline", artifact.key.pipeline)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def materialized_artifact(
    settings: Settings, instance: "dg.DagsterInstance", key: ArtifactKey
) -> Artifact | None:
    """An artifact as it was last materialized; None without one."""
    import dagster as dg

    from agent_assets.planning.history import latest_materialization

    recorded = latest_materialization(
        instance, dg.AssetKey([key.pipeline, key.asset]), key.partition
    )
    return None if recorded is None else _store(settings).find(key, recorded.fingerprint)


def write_table(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table as Parquet, CSV or JSONL, by the ending of its name.

    Raises:
        ConfigError: another ending, or the file cannot be written.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            import polars as pl

            # pandas writes Parquet with pyarrow alone, which we do not need otherwise.
            records = json.loads(frame.to_json(orient="records"))
            schema = None if records else dict.fromkeys(frame.columns, pl.String)
            pl.DataFrame(records, schema, infer_schema_length=None).write_parquet(path)
        elif kind == ".csv":
            frame.to_csv(path, index=False)
        elif kind == ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        else:
            raise ConfigError(
                f"{path.name} is none of the forms that tables are written in.",
                next_step="name a .parquet, .csv or .jsonl file.",
            )
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}.",
            next_step="name a file in a folder that is there.",
        ) from None


def _latest(settings: Settings, asset: str) -> Iterator[Artifact]:
    from agent_assets.store.erasable_data import artifact_keys

    keys = [key for key in artifact_keys(_store(settings)) if key.asset == asset]
    with _instance(settings) as instance:
        for key in keys:
            artifact = materialized_artifact(settings, instance, key)
            if artifact is not None:
                yield artifact


def _instance(settings: Settings) -> "AbstractContextManager[dg.DagsterInstance]":
    from agent_assets.runs.instance import open_instance, prepare_dagster_home

    prepare_dagster_home(settings)
    return open_instance(settings)


def _store(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.store, cache=settings.home / "store-cache")


def _lines(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(read_json_lines(path))
