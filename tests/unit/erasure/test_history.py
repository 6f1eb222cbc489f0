"""Dagster's history without one elder: lists that name others, too, stay, and so do ids that only
look alike.
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agent_assets.erasure.place import Scene
from agent_assets.erasure.places.history import History
from agent_assets.erasure.request import ErasureRequest
from agent_assets.runs.instance import prepare_dagster_home
from agent_assets.settings import Settings, load_settings

ELDER, ALIKE = "eleanor", "eleanor-2"
BACKFILL = {"partition_names": [ELDER, ALIKE], "data": json.dumps({"subset": [ELDER, "ben"]})}
TICK = {"run_keys": [f"fleet-{ELDER}-0123456789ab-7-night", f"fleet-{ALIKE}-0123456789ab-7-night"]}


@dataclass(frozen=True)
class SmallScene:
    settings: Settings
    installation: SimpleNamespace
    request: ErasureRequest


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    settings = replace(load_settings({}), home=tmp_path)
    prepare_dagster_home(settings)
    graphs = [SimpleNamespace(name="fleet")]
    request = ErasureRequest(elder=ELDER, who="eve")
    return cast(Scene, SmallScene(settings, SimpleNamespace(graphs=graphs), request))


def database(scene: Scene, name: str) -> Path:
    return scene.settings.dagster_home / name


def run(path: Path, statement: str, *values: object) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def test_lists_lose_one_name_and_keep_the_others(scene: Scene) -> None:
    runs, schedules = "history/runs.db", "schedules/schedules.db"
    add_backfill = "INSERT INTO bulk_actions (key, status, timestamp, body) VALUES (?, ?, ?, ?)"
    run(database(scene, runs), add_backfill, "b1", "COMPLETED", "2026-01-01", json.dumps(BACKFILL))
    add_tick = "INSERT INTO job_ticks (job_origin_id, status, type, timestamp, tick_body)"
    tick = ("o", "SUCCESS", "SENSOR", "2026-01-01", json.dumps(TICK))
    run(database(scene, schedules), f"{add_tick} VALUES (?, ?, ?, ?, ?)", *tick)
    history = History()
    assert len(history.items(scene)) == 2
    history.remove(scene)
    ((body,),) = run(database(scene, runs), "SELECT body FROM bulk_actions")
    masked, alike = json.loads(body)["partition_names"]
    assert masked.startswith("erased-") and alike == ALIKE
    assert json.loads(json.loads(body)["data"])["subset"] == [masked, "ben"]
    ((body,),) = run(database(scene, schedules), "SELECT tick_body FROM job_ticks")
    expected = [f"fleet-{masked}-0123456789ab-7-night", TICK["run_keys"][1]]
    assert json.loads(body)["run_keys"] == expected
    assert history.items(scene) == []
    for name in (runs, schedules):
        content = database(scene, name).read_bytes()
        assert content.count(ELDER.encode()) == content.count(ALIKE.encode())  # no free page
