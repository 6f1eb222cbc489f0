"""Passwords in Dagster's history: what earlier versions left is removed, and this version leaves
none.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
import sqlalchemy as db

from agent_assets.planning.history import latest_materialization
from agent_assets.runs.history_secrets import old_secrets, remove_old_secrets, without_secrets
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings, load_settings
from support.history_scan import cells, places_of, texts
from support.installed import installation
from support.older_home import KEY, OTHER_SECRET, PASSWORD, make_history
from support.waiting import wait_for


@contextmanager
def older_home(
    folder: Path, postgres_url: str | None = None
) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    settings = replace(load_settings({}), home=folder, postgres_url=postgres_url)
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        make_history(instance)
        yield settings, instance


def test_addresses_go_and_all_else_stays(tmp_path: Path) -> None:
    with older_home(tmp_path) as (settings, instance):
        before = cells(tmp_path)
        assert {
            place[1]
            for place, versions in before.items()
            if any("reader:" in text for text in versions)
        } >= {
            "snapshots",
            "runs",
            "event_logs",
        }
        count = old_secrets(settings)
        assert count >= 4
        assert remove_old_secrets(settings) == count
        after = cells(tmp_path)
        assert {
            place: [without_secrets(text) for text in versions[-1:]]
            for place, versions in before.items()
        } == {place: versions[-1:] for place, versions in after.items()}
        for secret in (
            PASSWORD,
            json.dumps(PASSWORD).strip('"'),
            "hidden",
            OTHER_SECRET,
            "db.example.org",
        ):
            assert places_of(secret, tmp_path) == []
        assert (old_secrets(settings), remove_old_secrets(settings)) == (0, 0)
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        assert [run.run_config for run in runs if run.run_config] == [
            {"resources": {"mongo": {"config": {"uri": "mongodb://***"}}}}
        ]
        for run in runs:
            assert run.job_snapshot_id and run.execution_plan_snapshot_id
            assert instance.get_job_snapshot(run.job_snapshot_id).node_names == [
                "older__elder_memories"
            ]
            assert instance.get_execution_plan_snapshot(
                run.execution_plan_snapshot_id
            ).step_keys_to_execute
        recorded = latest_materialization(instance, KEY, None)
        assert recorded is not None and (recorded.fingerprint, recorded.data_version) == (
            "ab12",
            "c0ffee",
        )
        make_history(
            instance
        )  # the same jobs once more: their snapshots are known by the ids they have


def test_rows_that_were_deleted_do_not_lie_in_the_file(tmp_path: Path) -> None:
    with older_home(tmp_path) as (settings, instance):
        for run in instance.get_runs(limit=1):
            instance.delete_run(run.run_id)
    remove_old_secrets(settings)
    assert places_of("hidden", tmp_path) == []
    for path in settings.dagster_home.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_history_that_is_interrupted_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_assets.runs import history_secrets

    with older_home(tmp_path) as (settings, _):
        pass
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(history_secrets, "_cell_without", interrupt)
        remove_old_secrets(settings)
    assert remove_old_secrets(settings) >= 4 and places_of("hidden", tmp_path) == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_same_in_postgres(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    with older_home(tmp_path, postgres_url) as (settings, instance):
        assert old_secrets(settings) >= 4
        assert remove_old_secrets(settings) >= 4
        engine = db.create_engine(postgres_url)
        tables = db.MetaData()
        tables.reflect(engine)
        with engine.connect() as connection:
            for table in tables.sorted_tables:
                for row in connection.execute(table.select()):
                    for cell in row:
                        cell_texts = list(
                            texts(bytes(cell) if isinstance(cell, memoryview) else cell)
                        )
                        assert not any(
                            "hidden" in text or OTHER_SECRET in text for text in cell_texts
                        ), table.name
        engine.dispose()
        assert (
            latest_materialization(instance, KEY, None) is not None
            and instance.get_runs_count() == 2
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://a:b@h/?x=1", "mongodb://***"),
        ('"{\\"uri\\": \\"mongodb+srv://a:b@h/\\"}"', '"{\\"uri\\": \\"mongodb://***\\"}"'),
        (json.dumps(json.dumps("mongodb://a:ü'b@h/ then")), '"\\"mongodb://*** then\\""'),
        ("mongodb://h/?tlsCertificateKeyFilePassword=x", "mongodb://***"),
        ("mongodb://127.0.0.1:1/?replicaSet=rs0", "mongodb://127.0.0.1:1/?replicaSet=rs0"),
        ("see https://u:p@h/x and me@example.org", "see https://***@h/x and me@example.org"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("two mongodb://a:b@h mongodb://***", "two mongodb://*** mongodb://***"),
    ],
)
def test_what_counts_as_a_secret(text: str, expected: str) -> None:
    assert without_secrets(text) == expected == without_secrets(expected)
    assert without_secrets("it is hunter22 then", ["hunter22"]) == "it is *** then"


LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""


def test_this_version_leaves_no_password_anywhere(
    tmp_path: Path, mongo_uri: str, mongo_db: object
) -> None:
    password = urlsplit(mongo_uri).password
    if not password:
        pytest.skip("the MongoDB of these tests has no password")
    name = mongo_db.name  # type: ignore[attr-defined]
    with installation(tmp_path, MONGODB_URI=mongo_uri, MONGODB_DATABASE=name) as up:
        up.instance.add_dynamic_partitions("elders", ["nobody"])
        selector = {"repositoryLocationName": "agent_assets", "repositoryName": "__repository__"}
        for pipeline, asset, tags in (
            ("energy_expert", "mcp_tool_schema", []),
            (
                "elder_companion",
                "elder_memories",
                [{"key": "dagster/partition", "value": "nobody"}],
            ),  # it fails
        ):
            job = selector | {
                "jobName": f"{pipeline}_job",
                "assetSelection": [{"path": [pipeline, asset]}],
            }
            params = {"selector": job, "runConfigData": {}, "executionMetadata": {"tags": tags}}
            assert "run" in up.graphql(LAUNCH, {"params": params}).json()["data"]["launchRun"]
        wait_for(lambda: all(run.is_finished for run in up.instance.get_runs()), 120, every=1)
        statuses = sorted(run.status.value for run in up.instance.get_runs())
        assert statuses == ["FAILURE", "SUCCESS"]
        assert old_secrets(up.settings) == 0
        assert not any(password in line for line in up.command_lines)
    assert places_of(password, tmp_path / "home") == []
