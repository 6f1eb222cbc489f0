"""A database whose answers lack the index for looks at changed elders: said by ticks and by
`agent-assets doctor`.
"""

from pathlib import Path

import pytest

from agent_assets.automation import sources
from agent_assets.cli.doctor.examine import examine
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.signatures import recommended_index
from agent_assets.settings import load_settings
from support.town import Town


def test_the_missing_index_is_named_with_the_command_that_makes_it(
    town: Town, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.db.answers.drop_indexes()
    assert "no index" not in town.watch().message  # two elders are read in a moment
    monkeypatch.setattr(sources, "_MANY_ANSWERS", 1)
    assert "fleet: no index on elderId, updatedAt, createdAt" in town.watch().message
    environment = {
        "AGENT_ASSETS_HOME": str(tmp_path),
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": town.db.name,
    }
    missing = {finding.name: finding for finding in examine(load_settings(environment))}[
        "index elder_companion"
    ]
    assert not missing.ok and missing.optional
    assert 'createIndex({"elderId": 1, "updatedAt": 1, "createdAt": 1})' in missing.fix
    town.db.answers.create_index(recommended_index(MongoLayout.service()))
    assert {f.name: f.ok for f in examine(load_settings(environment))}["index elder_companion"]
    assert "no index" not in town.watch().message
