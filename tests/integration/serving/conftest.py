"""The API over real HTTP, with real MongoDB and tool servers; the model is a queue of answers
behind a real server.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from agent_assets.serving import app as serving_app
from agent_assets.serving import tokens as serving_tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactStore
from support.serving_world import CANDLES, SECRET, World, add_agent, running_api, scripted_model


@pytest.fixture
def world(
    tmp_path: Path, mongo_uri: str, mongo_db: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(serving_app, "DATABASE", mongo_db.name)
    monkeypatch.setattr(serving_tokens, "_CACHE_SECONDS", 0.2)
    store = ArtifactStore(str(tmp_path / "store"))
    add_agent(store, "ada", 1, memory=CANDLES)
    add_agent(store, "ben", 2, memory=SECRET)
    settings = replace(
        load_settings({}),
        home=tmp_path,
        store=str(tmp_path / "store"),
        engines=tmp_path,
        device="cpu",
        mongodb_uri=mongo_uri,
        mongodb_database=mongo_db.name,
    )
    with scripted_model() as model:
        config = ServingConfig.model_validate(
            {
                "inference": {"url": model.url, "slots": 1, "max_concurrency": 4},
                "requests_per_minute": 600,
                "answers": {"seconds": 20},
            }
        )
        with running_api(settings, config) as (client, services):
            yield World(client, services, model, store, services.tokens, settings)
