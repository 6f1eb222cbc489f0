"""A fleet of elders in which everything is fresh: store, index, and a Dagster history written in
bulk.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import (
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value

from agent_assets.automation.pipelines import Graph
from agent_assets.automation.planner import presence
from agent_assets.pipeline.assets import ELDERS
from agent_assets.planning.asset_partitions import Plan
from agent_assets.planning.fingerprint import FingerprintTemplate
from agent_assets.planning.history import FINGERPRINT_TAG, INPUT_TAG, DagsterLog
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.plan import make_plan
from agent_assets.planning.recorded import read_inputs, read_latest
from agent_assets.release.pointer import CURRENT, agent_of, pointer_path
from agent_assets.release.records import STAGE
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore

PIPELINE = "elder_companion"
Sources = dict[tuple[str, str | None], dict[str, str]]
_RUN = "00000000-0000-0000-0000-000000000000"


def digest(*parts: object) -> str:
    """32 hex digits."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def elder_id(number: int) -> str:
    """Partition key of the n-th elder."""
    return f"elder-{number:05d}"


class Fleet:
    """A Dagster instance, store and index in one folder, with a history in which everything is
    fresh.
    """

    def __init__(
        self, folder: Path, graph: Graph, elders: int, sources: Sources | None = None
    ) -> None:
        self.folder, self.graph = folder, graph
        self.elders = [elder_id(number) for number in range(elders)]
        self.facts = graph.facts(self.elders)
        self.sources: Sources = {
            ("elder_memories", elder): {"mongodb": digest("memories", elder)}
            for elder in self.elders
        }
        self.sources["base_model", None] = {"weights": digest("weights")}
        self.sources["mcp_tool_schema", None] = {"servers": digest("servers")}
        self.sources |= sources or {}
        self.store = ArtifactStore(str(folder / "store"))
        (folder / "home").mkdir(parents=True)
        self.instance = dg.DagsterInstance.local_temp(str(folder / "home"))
        self.instance.add_dynamic_partitions(str(ELDERS.name), self.elders)
        self.index = PlanIndex(folder / "plan")
        self._write_history()

    def plan(self, sources: Sources | None = None) -> Plan:
        return make_plan(
            [self.facts],
            read_latest(DagsterLog(self.instance), self.index, [self.facts]),
            {PIPELINE: self.sources if sources is None else sources},
            inputs_of=lambda ids: read_inputs(self.index, ids),
            present=presence(self.store, listing=False),
        )

    def _write_history(self) -> None:
        versions: dict[tuple[str, str | None], str] = {}
        self._events: dict[tuple[str, str | None], int] = {}
        for stage in self.facts.stages:
            template = FingerprintTemplate(
                asset=stage.name, code_version=stage.code_version, config=stage.config
            )
            rows = []
            for elder in self.elders if stage.partitioned else [None]:
                inputs = {
                    name: versions.get((name, elder), versions.get((name, None), ""))
                    for name in stage.deps
                } | self.sources.get((stage.name, elder), {})
                versions[stage.name, elder] = digest(stage.name, elder)
                fingerprint = template.fingerprint(elder, inputs)
                rows.append(
                    (elder, fingerprint, versions[stage.name, elder], stage.config_version, inputs)
                )
                key = ArtifactKey(PIPELINE, stage.name, elder)
                artifact = self.folder / "store" / key.folder / fingerprint
                artifact.mkdir(parents=True)
                (artifact / "manifest.json").touch()
                if stage.name == STAGE:  # a release has a pointer; only its name is looked at
                    pointer = Path(pointer_path(self.store, agent_of(PIPELINE, elder), CURRENT))
                    pointer.parent.mkdir(parents=True, exist_ok=True)
                    pointer.touch()
            self._insert(dg.AssetKey([PIPELINE, stage.name]), rows)

    def _insert(
        self, key: dg.AssetKey, rows: Iterable[tuple[str | None, str, str, str, dict[str, str]]]
    ) -> None:
        storage = self.instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        now = datetime.now(UTC).replace(tzinfo=None)
        events, tags = [], []
        with storage.index_connection() as connection:
            (last,) = connection.exec_driver_sql(
                "SELECT coalesce(max(id), 0) FROM event_logs"
            ).fetchone() or (0,)
            for number, (partition, fingerprint, version, code, inputs) in enumerate(
                rows, start=last + 1
            ):
                entry_tags = {
                    FINGERPRINT_TAG: fingerprint,
                    "dagster/data_version": version,
                    "dagster/code_version": code,
                    **{f"{INPUT_TAG}{name}": value for name, value in inputs.items()},
                }
                for name in inputs:  # provenance as Dagster records it, for its resolver
                    pointer = self._events.get((name, partition), self._events.get((name, None)))
                    if pointer is not None:
                        entry_tags[f"dagster/input_data_version/{PIPELINE}/{name}"] = inputs[name]
                        entry_tags[f"dagster/input_event_pointer/{PIPELINE}/{name}"] = str(pointer)
                self._events[key.path[-1], partition] = number
                event = {
                    "id": number,
                    "run_id": _RUN,
                    "event": _event(key, partition, entry_tags),
                    "dagster_event_type": "ASSET_MATERIALIZATION",
                    "timestamp": now,
                    "step_key": "__".join(key.path),
                    "asset_key": key.to_string(),
                    "partition": partition,
                }
                events.append(event)
                tags.append(
                    {
                        "event_id": number,
                        "asset_key": key.to_string(),
                        "key": "dagster/data_version",
                        "value": version,
                        "event_timestamp": now,
                    }
                )
            connection.execute(SqlEventLogStorageTable.insert(), events)
            connection.execute(AssetEventTagsTable.insert(), tags)
            row = {
                "asset_key": key.to_string(),
                "last_materialization": events[-1]["event"],
                "last_run_id": events[-1]["run_id"],
                "last_materialization_timestamp": now,
            }
            connection.execute(AssetKeyTable.insert(), [row])


def _event(key: dg.AssetKey, partition: str | None, tags: dict[str, str]) -> str:
    """The event as Dagster stores it, with the metadata that our stages report."""
    text = (
        _template().replace('{"TAGS": "x"}', json.dumps(tags)).replace("STEP", "__".join(key.path))
    )
    text = text.replace('"KEY0", "KEY1"', json.dumps(key.path)[1:-1])
    return text.replace('"PARTITION"', json.dumps(partition))


@cache
def _template() -> str:
    """Serialized once: 50,000 events one by one would take most of the benchmark."""
    metadata: dict[str, Any] = {
        "outcome": "built",
        "why": "mongodb changed",
        "device": "cpu",
        "seconds": 12.5,
        "build_seconds": 12.5,
        "fingerprint": "f" * 32,
        "bytes": 123456,
        "path": dg.MetadataValue.path("/somewhere/in/the/store"),
        "memories": 100,
        "engine": dg.MetadataValue.json(
            {"name": "swift", "versions": {"torch": "2", "transformers": "5"}}
        ),
    }
    materialization = dg.AssetMaterialization(
        asset_key=["KEY0", "KEY1"], partition="PARTITION", metadata=metadata, tags={"TAGS": "x"}
    )
    event = DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION",
        job_name="job",
        event_specific_data=StepMaterializationData(materialization, []),
        step_key="STEP",
    )
    return serialize_value(
        EventLogEntry(  # type: ignore[no-untyped-call]
            None, 10, "", _RUN, time.time(), "STEP", "job", dagster_event=event
        )
    )
