"""Pipelines as YAML: a new agent is one file, a mistake in it is named, the graph carries its
tags.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from agent_assets.automation.pipelines import load_graphs
from agent_assets.definitions import defs
from agent_assets.engines.checkpoints import last_sealed_step
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import ConfigError
from agent_assets.pipeline.component import AgentPipeline
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.yaml_errors import yaml_errors_told
from agent_assets.resources.engines import EnginesResource
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from support.recorded_versions import check_recorded, made_in
from support.waiting import wait_for
from support.yaml_pipelines import assets_of, loaded

ENERGY = {
    "mcpServers": {
        "energy": {
            "command": "${python}",
            "args": [
                "-m",
                "agent_assets.tool_servers.energy",
                "--today",
                "2025-04-22",
                "--now",
                "09:30:00",
            ],
            "transport": "stdio",
        }
    }
}


def test_a_second_pipeline_is_one_yaml_file(tmp_path: Path) -> None:
    with loaded({"name": "clock_expert"}) as definitions:
        assets = assets_of(definitions)
        names = {asset.key.to_user_string() for asset in assets}
        assert "clock_expert/eval_report" in names and "clock_expert/elder_memories" not in names
        engines = LocalEngines(environments=str(tmp_path), device="cpu", home=str(tmp_path))
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                assets,
                instance=instance,
                selection=[
                    dg.AssetKey(["clock_expert", name]) for name in ("mcp_tool_schema", "questions")
                ],
                resources={
                    "store": StoreResource(root=str(tmp_path / "store"), cache=str(tmp_path)),
                    "mongo": dg.ResourceDefinition.none_resource(),
                    "engines": engines,
                },
            )
        assert result.success
    store = ArtifactStore(str(tmp_path / "store"))
    key = ArtifactKey("clock_expert", "questions")
    (fingerprint,) = store.versions(key)
    artifact = store.find(key, fingerprint)
    assert artifact is not None and artifact.manifest.summary["questions"] > 0


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"name": "x", "sft_adaptor": {}}, "did you mean 'sft_adapter'"),
        ({"name": "x", "sft_adapter": {"learning_rat": 1e-4}}, "did you mean 'learning_rate'"),
        ({"name": "x", "sft_adapter": {"engine": "swifty"}}, "swift"),
        (
            {"name": "x", "rl": {"engine": "swift_grpo", "request_seconds": 5}},
            "swift_grpo has no request_seconds",
        ),
        (
            {"name": "x", "rl": {"engine": "swift_grpo", "backend": "local"}},
            "swift_grpo has no backend",
        ),
        ({"name": "x", "rl": {"in_process": True}}, "in_process: that is for backend local"),
        ({"name": "no spaces"}, "name"),
        ({"name": "x", "owners": ["somebody"]}, "neither an e-mail address nor"),
    ],
)
def test_a_mistake_in_the_yaml_is_named(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught, yaml_errors_told(), loaded(attributes):
        pass
    assert says in caught.value.message and "defs.yaml:" in caught.value.message


def test_two_pipelines_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, two = (
        PipelineSpec(PipelineConfig(name="x"), tmp_path / folder) for folder in ("one", "two")
    )
    components = [AgentPipeline(first), AgentPipeline(two)]
    monkeypatch.setattr(dg.ComponentTree, "get_all_components", lambda *_: components)
    with pytest.raises(ConfigError, match=f"name x: those in {first.folder} and {two.folder}"):
        load_graphs()


def test_a_learning_rate_without_a_dot_is_a_number() -> None:
    """PyYAML reads 5e-5 as a string."""
    with loaded({"name": "x", "sft_adapter": {"learning_rate": "5e-5"}}) as definitions:
        assert dg.AssetKey(["x", "sft_adapter"]) in {asset.key for asset in assets_of(definitions)}


def test_a_pipeline_has_the_base_model_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    (tmp_path / "base_models.yaml").write_text(
        "current: large\nmodels: {small: {}, large: {source: x, context_length: 8192}}",
        encoding="utf-8",
    )

    def versions(**attributes: Any) -> dict[str, str | None]:
        with loaded({"name": "x", **attributes}) as definitions:
            specs = [spec for asset in assets_of(definitions) for spec in asset.specs]
        return {spec.key.path[-1]: spec.code_version for spec in specs}

    current, by_key = versions(), versions(base_model={"key": "large"})
    own = versions(base_model={"source": "x", "context_length": 8192})
    assert current == by_key == own
    assert versions(sft_adapter={"max_length": 8192})["sft_adapter"] == own["sft_adapter"]
    small = versions(base_model={"key": "small"})
    assert small["base_model"] != own["base_model"] and small["sft_adapter"] != own["sft_adapter"]
    says = "Pipeline x: There is no base model 'huge'"
    with pytest.raises(ConfigError, match=says), yaml_errors_told():
        versions(base_model={"key": "huge"})


def test_gpu_stages_carry_pool_tags_and_kubernetes_limits() -> None:
    repository = defs().get_repository_def()
    for name in ("sft_adapter", "merged_model", "eval_report"):
        node = repository.assets_defs_by_key[dg.AssetKey(["elder_companion", name])]
        assert node.op.pool == "gpu"
        limits = json.loads(node.op.tags["dagster-k8s/config"])["container_config"]["resources"][
            "limits"
        ]
        assert limits == {"nvidia.com/gpu": "1"}
        assert node.get_asset_spec().tags["agent_assets/gpu"] == "true"
    light = repository.assets_defs_by_key[dg.AssetKey(["elder_companion", "train_jsonl"])]
    assert light.op.pool is None
    assert light.partitions_def is not None and light.get_asset_spec().owners == ["team:agents"]


def sealed(store: Path) -> list[int]:
    """Steps of the checkpoints in the store that are complete."""
    folders = store.rglob("sft_adapter-*-resume")
    return [step for folder in folders if (step := last_sealed_step(folder))]


@contextmanager
def killed_after_a_checkpoint(store: Path) -> Iterator[None]:
    """The training that runs meanwhile is killed behind its second step."""

    def kill() -> None:
        wait_for(lambda: max(sealed(store), default=0) >= 2, 180)
        for process in psutil.Process().children(recursive=True):
            if "swift_sft" in " ".join(process.cmdline()):
                process.kill()

    with ThreadPoolExecutor() as threads:
        killing = threads.submit(kill)
        yield
        killing.result()


@pytest.mark.engine
def test_a_chain_trains_merges_and_evaluates_a_tiny_model(
    tmp_path: Path, engine_env: EngineEnv, tiny_model: Path
) -> None:
    """The whole graph on real parts: MCP server, ms-swift, vLLM; only the model is tiny and its
    weights are random.
    """
    attributes = {
        "name": "tiny_expert",
        "system_prompt": "Use the tools.",
        "base_model": {"source": str(tiny_model)},
        "questions": {
            "per_tool": 4,
            "per_tool_without_arguments": 2,
            "heldout_per_tool": 1,
            "unseen_share": 0.5,
        },
        "train_jsonl": {"exchanges_per_row": 2},
        "sft_adapter": {
            "epochs": 8,
            "learning_rate": 5e-3,
            "precision": "fp32",
            "checkpoint_minutes": 0,
        },
        "eval_report": {"max_turns": 2, "max_tokens": 16},
        # Random weights earn nothing, whatever they say: the run stops, says so, and the graph goes
        # on.
        "rl": {
            "enabled": True,
            "steps": 3,
            "equal_patience": 2,
            "max_turns": 1,
            "max_tokens": 16,
            "heldout_scenarios": 3,
        },
    }
    store = tmp_path / "store"
    with loaded(attributes, ENERGY) as definitions, dg.DagsterInstance.ephemeral() as instance:
        assets = assets_of(definitions)
        resources = {
            "store": StoreResource(root=str(store), cache=str(tmp_path)),
            "mongo": dg.ResourceDefinition.none_resource(),
            "engines": EnginesResource(
                environments=str(engine_env.python.parent.parent.parent),
                device="cpu",
                home=str(tmp_path),
            ),
        }
        adapter = dg.AssetSelection.keys("tiny_expert/sft_adapter").upstream()
        with killed_after_a_checkpoint(store):
            broken = dg.materialize(
                assets,
                instance=instance,
                resources=resources,
                selection=adapter,
                raise_on_error=False,
            )
        assert not broken.success and sealed(store)
        result = dg.materialize(assets, instance=instance, resources=resources)
        assert result.success and not sealed(store)
        (went_on,) = [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if "training goes on behind step" in entry.user_message
        ]
        assert int(went_on.rsplit(" ", 1)[1]) >= 2
        observations = [
            event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"
        ]
        assert any(
            "loss" in event.asset_observation_data.asset_observation.metadata
            for event in observations
        )
        again = dg.materialize(assets, instance=instance, resources=resources)
    outcomes = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata["outcome"].value
        for event in again.get_asset_materialization_events()
    }
    assert set(outcomes.values()) == {"reused"} and len(outcomes) == 10
    check_recorded("tiny_expert", made_in(store / "tiny_expert", tuple(outcomes)))
    (report,) = (store / "tiny_expert" / "eval_report").rglob("report.json")
    content = json.loads(report.read_text(encoding="utf-8"))
    systems = content["systems"]
    assert content["rl"]["line"].startswith("RL learned nothing: 100% of groups had equal rewards")
    assert content["rl"]["scenarios"]["items"] == 3 and set(
        content["rl"]["scenarios"]["rewards"]
    ) == {
        "sft",
        "rl",
    }
    (candidate,) = (store / "tiny_expert" / "release").rglob("candidate.json")
    assert json.loads(candidate.read_text(encoding="utf-8"))["system"] == "sft"  # RL did not help
    assert (
        set(systems) == {"base", "sft", "rl"} and systems["sft"]["tool_call_accuracy"] is not None
    )
    manifests = {
        name: json.loads(
            next((store / "tiny_expert" / name).rglob("manifest.json")).read_text(encoding="utf-8")
        )
        for name in ("sft_adapter", "merged_model", "eval_report")
    }
    (parity,) = [
        check for check in manifests["merged_model"]["checks"] if check["name"] == "parity"
    ]
    assert parity["passed"] is True
    assert (
        manifests["sft_adapter"]["summary"]["rows_too_long"]
        == 0
        < manifests["sft_adapter"]["summary"]["rows"]
    )
    assert {check["name"] for check in manifests["sft_adapter"]["checks"]} >= {
        "rows_fit",
        "loss_falls",
    }
    for name, manifest in manifests.items():  # what every GPU stage records
        summary = manifest["summary"]
        tokens = summary["completion_tokens" if name == "eval_report" else "tokens"]
        assert tokens > 0 and summary["tokens_per_s"] > 0 and summary["peak_memory_mb"] > 100, name
        assert manifest["seconds"] > 0 and manifest["device"] == "cpu", name
