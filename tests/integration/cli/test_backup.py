"""An installation that was saved while it worked answers from its backup, byte for byte."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_assets.alerts.config import Event
from agent_assets.alerts.outbox import Outbox
from agent_assets.automation.elders import PARTITIONS
from agent_assets.backup.restore import restore_backup
from agent_assets.backup.save import back_up
from agent_assets.errors import ConfigError, StoreError
from agent_assets.release.commands import open_store
from agent_assets.release.repair import repair_store
from agent_assets.runs.installation import mongodb_environment
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings, load_settings
from agent_assets.store.tombstones import bury, incarnations
from support.command_line import OURS
from support.serving_world import ScriptedModel, add_agent, bearer, running_api, scripted_model

KEY = dg.AssetKey(["older", "asset"])


class Echo(ScriptedModel):
    """Answers with the hash of all it was asked: any difference of a prompt shows."""

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        text = json.dumps(body, sort_keys=True)
        self.always = hashlib.sha256(text.encode()).hexdigest()
        return super().answer(body)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


def at(home: Path) -> Settings:
    return load_settings({"AGENT_ASSETS_HOME": str(home), "PATH": "/usr/bin:/bin"})


@contextmanager
def answering(settings: Settings, model: ScriptedModel) -> Iterator[tuple[Any, Any]]:
    """A client of the API of this home, with its embedded MongoDB running, and its settings."""
    config = ServingConfig.model_validate({"inference": {"url": model.url}})
    with mongodb_environment(settings) as reachable:
        prepare_dagster_home(reachable)
        with running_api(reachable, config) as (client, _):
            yield client, reachable


def replies(client: Any, token: str) -> list[bytes]:
    """What a caller gets of an agent, without what differs from request to request."""
    who = bearer(token)
    chat = client.post("/chat", headers=who, json={"elder_id": "ada", "message": "你好 & hello"})
    assert chat.status_code == 200, chat.text
    models = client.get("/models", headers=who)
    files = client.get("/models/ada/export", headers=who)
    assert models.status_code == files.status_code == 200
    return [chat.json()["response"].encode(), models.content, files.content]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_restored_installation_answers_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, saved = at(tmp_path / "before"), at(tmp_path / "after"), tmp_path / "saved"
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(before.home))
    model = Echo()
    with scripted_model() as server:
        model.url, server.answer = server.url, model.answer  # type: ignore[method-assign]
        model.loaded = server.loaded
        store = open_store(before)
        add_agent(store, "ada", 1)
        bury(store, "eve")
        with answering(before, server) as (client, reachable):
            tokens = Tokens(reachable.mongodb_uri or "", reachable, DATABASE)
            token = tokens.create("admin")
            with open_instance(reachable) as instance:
                instance.add_dynamic_partitions(PARTITIONS, ["ada"])
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(KEY, metadata={"count": 42})
                )
                expected = replies(client, token)
                assert len(expected[0]) == 64
                Outbox(before.home).notice(Event.TEST, "k", {"summary": "x"}, now=0.0, send=True)
                record = back_up(before, saved)  # everything is open, and goes on
            assert record.mongodb and record.store is None
            assert replies(client, token) == expected
            metrics = client.get("/metrics", headers=bearer(token)).text
            tokens.close()
        assert_metrics(metrics)
        monkeypatch.setenv("AGENT_ASSETS_HOME", str(after.home))
        restore_backup(after, saved)
        assert (after.home.stat().st_mode & 0o777, saved.stat().st_mode & 0o777) == (0o700, 0o700)
        assert files_of(after.home / "store") == files_of(saved / "store")
        server.loaded.clear()
        with answering(after, server) as (client, reachable):
            assert replies(client, token) == expected
            assert client.get("/models").status_code == 401
            with open_instance(reachable) as instance:
                assert instance.get_dynamic_partitions(PARTITIONS) == ["ada"]
                event = instance.get_latest_materialization_event(KEY)
            assert event is not None and event.asset_materialization is not None
            assert event.asset_materialization.metadata["count"].value == 42
    assert incarnations(open_store(after)) == {"eve": 1} and repair_store(open_store(after)) == []
    assert Outbox(after.home).waiting() == 1
    with pytest.raises(ConfigError, match="is not empty"):
        restore_backup(after, saved)
    assert_damage_is_refused(at(tmp_path / "third"), saved)


def assert_metrics(text: str) -> None:
    """What /metrics tells of the installation beside requests."""
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["agent_assets_released_agents",] == 1
    assert samples["agent_assets_damaged_releases",] == 0 == samples["agent_assets_set_aside",]
    assert samples["agent_assets_events_total", "test"] == 1
    assert samples["agent_assets_alerts_waiting",] == 1
    assert samples["agent_assets_disk_free_bytes", "store"] > 0
    assert 0 <= samples["agent_assets_backup_age_seconds",] < 600
    assert samples["agent_assets_dependency_up", "mongodb"] == 1


def assert_damage_is_refused(settings: Settings, saved: Path) -> None:
    (file, *_) = sorted((saved / "store").rglob("candidate.json"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b" ")
    with pytest.raises(StoreError, match="is not what was saved"):
        restore_backup(settings, saved)
    file.unlink()
    with pytest.raises(StoreError, match="missing"):
        restore_backup(settings, saved)
    (saved / "backup.json").unlink()
    with pytest.raises(ConfigError, match="no complete backup"):
        restore_backup(settings, saved)
    assert not settings.home.exists()


def test_a_backup_goes_nowhere_it_would_hurt(tmp_path: Path) -> None:
    settings = at(tmp_path / "home")
    with pytest.raises(ConfigError, match="no installation"):
        back_up(settings, tmp_path / "saved")
    settings.home.mkdir()
    with pytest.raises(ConfigError, match="inside the installation"):
        back_up(settings, settings.home / "saved")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match="not empty"):
        back_up(settings, tmp_path / "saved")
