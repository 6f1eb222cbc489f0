"""`agent-assets ask` as it is typed: every step is printed, and what is missing is said."""

import os
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.automation.pipelines import load_graphs
from agent_assets.cli.agent_server import trained_adapter
from agent_assets.planning.history import DATA_VERSION_TAG, FINGERPRINT_TAG
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.command_line import agent_assets, error_of
from support.fake_openai import calls, fake_openai, says, status
from support.release_cases import add_release

PRICES = {"province": "Sichuan", "start_date": "2025-04-01", "end_date": "2025-04-02"}


def test_every_step_is_printed(tmp_path: Path) -> None:
    with fake_openai() as server:
        server.queue = [
            calls(("get_auction_price", PRICES), ("get_current_date", {}), text="Let me look."),
            calls(("get_lng_price", {"region": "Mars", "start_date": "x"})),
            says("2025-04-01: 2.49."),
        ]
        done = agent_assets(
            tmp_path,
            "ask",
            "energy_expert",
            "What was the price?",
            "--model",
            "teacher-1",
            "--base-url",
            server.url,
        )
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [
        "system",
        "tools",
        "question",
        "text",
        "call",
        "call",
        "result",
        "result",
        "call",
        "error",
        "answer",
        "stopped",
    ]
    printed = dict(lines)
    assert printed["text"] == "Let me look."
    assert [
        "call",
        'get_auction_price {"province": "Sichuan", "start_date": "2025-04-01", "end_date": '
        '"2025-04-02"}',
    ] in lines
    assert ["result", '{"2025-04-01":2.49,"2025-04-02":2.35}'] in lines
    assert "unknown region 'Mars'" in printed["error"]
    assert printed["answer"] == "2025-04-01: 2.49."
    assert (
        printed["stopped"].startswith("answered: 3 turns, 3 calls,")
        and "30 tokens read, 30 written" in printed["stopped"]
    )


@pytest.mark.parametrize(
    ("arguments", "says_what"),
    [
        (["energy_expert", "Well?"], "energy_expert was not trained"),
        (["energy_expert", " "], "The question is empty"),
        (["energy_exper", "Well?"], "There is no pipeline 'energy_exper'"),
        (["elder_companion", "Well?"], "write elder_companion/ELDER"),
        (["elder_companion/nobody", "Well?"], "The memories of nobody were not read"),
        (["energy_expert", "Well?", "--base-url", "http://127.0.0.1:9/v1"], "add --model"),
        (
            ["energy_expert", "Well?", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"],
            "m does not answer at",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: list[str], says_what: str) -> None:
    assert says_what in error_of(agent_assets(tmp_path, "ask", *arguments))


def test_a_refusal_names_the_status_and_no_secret(tmp_path: Path) -> None:
    assert "OPENAI_API_KEY" not in os.environ
    with fake_openai(status(401)) as server:
        done = agent_assets(
            tmp_path,
            "ask",
            "energy_expert",
            "Well?",
            "--model",
            "m",
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="secret",
        )
    error = error_of(done)
    assert "HTTP 401" in error and "in confidence" not in error


def test_the_model_that_release_took_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    settings = load_settings()
    prepare_dagster_home(settings)
    store = ArtifactStore(settings.store)
    pipeline = next(
        graph.spec for graph in load_graphs() if graph.spec.config.name == "elder_companion"
    )

    def materialized(asset: str, version: str) -> None:
        tags = {FINGERPRINT_TAG: version, DATA_VERSION_TAG: version}
        event = dg.AssetMaterialization(
            asset_key=["elder_companion", asset], partition="ada", tags=tags
        )
        with open_instance(settings) as instance:
            instance.report_runless_asset_event(event)

    def answers() -> str | None:
        artifact = trained_adapter(settings, pipeline, "ada")
        return None if artifact is None else artifact.key.asset

    assert answers() is None
    for number, asset in enumerate(("sft_adapter", "rl_checkpoint"), start=1):
        add_artifact(
            store, ArtifactKey("elder_companion", asset, "ada"), f"{number:032x}", {"weights": "w"}
        )
        materialized(asset, f"{number:032x}")
        assert answers() == asset
    for version, system, asset in (
        ("a" * 32, "sft", "sft_adapter"),
        ("b" * 32, "rl", "rl_checkpoint"),
    ):
        add_release(store, version, system=system)
        materialized("release", version)
        assert answers() == asset
