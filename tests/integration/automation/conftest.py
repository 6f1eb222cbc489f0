"""The town, and commands that work on it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.automation import commands, prune
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.layout import MongoLayout
from support.fleet import World
from support.town import ADA, BEN, Db, Town


@pytest.fixture
def town(mongo_db: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Town]:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    mongo_db.answers.create_index([("elderId", 1), ("updatedAt", 1), ("createdAt", 1)])
    seed_elders(mongo_db, MongoLayout.service(), load_sample_elders([ADA, BEN]))
    mongo = MemoryDatabase(uri=mongo_uri, database=mongo_db.name)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Town(instance, tmp_path, World(), mongo)
    mongo.close()


@pytest.fixture
def commanded(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """The commands work on the town's instant pipeline instead of those in `defs/`."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    for module in (commands, prune):
        monkeypatch.setattr(module, "load_installation", lambda settings: town.installation())
    monkeypatch.setattr(commands, "_definitions", town.definitions)
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(town.folder / "home"))
    monkeypatch.setenv("MONGODB_URI", str(town.mongo and town.mongo.uri))
    return town
