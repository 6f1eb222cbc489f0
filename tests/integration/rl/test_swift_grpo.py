"""ms-swift GRPO with real parts: our plugin in its driver, a training that learns, is killed and
goes on.
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agent_assets.conversations.messages import canonical_json
from agent_assets.conversations.row_parts import openai_tools
from agent_assets.engines.checkpoints import last_checkpoint_step
from agent_assets.engines.context import EngineContext
from agent_assets.engines.devices.gpu import GpuLease, detect_gpus, lease_device
from agent_assets.engines.environment import engine_environment, find_engine_env
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import BaseModelError, ConfigError, EngineFailed
from agent_assets.resources.store import StoreResource
from agent_assets.rl.backends.choice import Trained, train_rl
from agent_assets.rl.backends.inputs import TrainingInputs
from agent_assets.rl.backends.rollout_service import RolloutService
from agent_assets.rl.config import RlConfig
from agent_assets.rl.scoring import Scoring
from support.two_doors import ANSWER, LIMITS, QUESTION, SETTINGS, TOOLS, Doors, opens, scenario
from support.yaml_pipelines import assets_of, loaded

pytestmark = pytest.mark.engine
GRPO: dict[str, Any] = {
    name: value for name, value in SETTINGS.items() if name != "request_seconds"
} | {
    "engine": "swift_grpo",
    "steps": 5,
    "scenarios_per_step": 2,
    "rollouts_per_scenario": 8,
}

# As swift_grpo does: importing it takes longer than the whole test.
WITHOUT_VLLM = """
import runpy, sys
sys.modules["vllm"] = None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def second_gpu() -> AbstractContextManager[GpuLease]:
    return lease_device(
        detect_gpus()[1:], Path(tempfile.gettempdir()), holder="test", timeout_seconds=10
    )


def run(
    work: Path, doors: Path, *, env: str = "cpu", adapter: Path | None = None, **changed: Any
) -> Trained:
    """Train on the doors."""
    context = EngineContext(
        find_engine_env(env), None, LIMITS, work / "logs", work / "failed", another=second_gpu
    )
    training = train_rl(
        RlConfig(**GRPO | changed),
        inputs=TrainingInputs(
            doors / "model", adapter or doors / "adapter", [scenario()], TOOLS, Doors()
        ),
        context=context,
        work=work,
        report=lambda message: None,
    )
    return asyncio.run(training)


def test_ms_swift_learns_from_what_was_sampled_and_reads_what_serving_would(
    doors: Path, tmp_path: Path
) -> None:
    """Its own driver of rollouts, in the engine environment, with scripted samples and the real
    service.
    """
    script = tmp_path / "script.json"
    rollouts = [
        [opens("right"), ANSWER],
        [opens("left"), ANSWER],
        ["No."],
        [opens("right"), "It is op..."],
    ]
    script.write_text(
        json.dumps(
            {
                "messages": [{"role": "user", "content": QUESTION}],
                "tools": canonical_json(openai_tools(TOOLS)),
                "rollouts": [{"scenario": 0, "turns": turns} for turns in rollouts],
            }
        ),
        encoding="utf-8",
    )
    config = RlConfig(
        engine="swift_grpo", steps=1, scenarios_per_step=1, rollouts_per_scenario=4, max_turns=2
    )

    async def drive() -> None:
        service = RolloutService(
            config,
            [scenario()],
            Scoring(config, TOOLS, None),
            Doors(),
            steps=[],
            records=tmp_path / "records",
            report=lambda message: None,
        )
        async with service.open() as socket:
            rollouts = {"socket": str(socket), "max_tokens": 40, "max_model_len": 512}
            program = str(Path(__file__).with_name("scripted_turns.py"))
            process = await asyncio.create_subprocess_exec(
                str(find_engine_env("cpu").python),
                "-c",
                WITHOUT_VLLM,
                program,
                str(doors / "model"),
                str(script),
                env=engine_environment({"AGENT_ASSETS_ROLLOUTS": json.dumps(rollouts)}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode(errors="replace")[-3000:]

    asyncio.run(drive())
    results = json.loads(script.read_text(encoding="utf-8"))
    assert results["rewards"] == [1.0, 0.0, 0.0, 0.0] and results["turns"] == [2, 2, 1, 2]
    whole, _, short, cut = results["texts"]
    end, start = "<|im_end|>", "<|im_start|>"
    assert whole["learned"] == f"{opens('right')}{end}\n{ANSWER}{end}"
    assert whole["all"].endswith(
        f"{start}user\n{QUESTION}{end}\n{start}assistant\n{opens('right')}{end}\n"
        f"{start}user\n<tool_response>\nopen\n</tool_response>{end}\n{start}assistant\n{ANSWER}{end}"
    )
    assert results["too_long"].startswith(
        "TrainingDataError: 1 of 2 scenarios do not fit: the longest has"
    )
    assert short["learned"] == f"No.{end}" and cut["learned"].endswith("It is op...")


def test_a_worker_of_the_rollout_server_knows_our_template(tmp_path: Path) -> None:
    program = str(Path(__file__).with_name("spawned_worker.py"))
    done = subprocess.run(
        [str(find_engine_env("cpu").python), program],
        text=True,
        cwd=tmp_path,
        env=engine_environment({"AGENT_ASSETS_ROLLOUTS": "{}"}),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["knows it"], done.stderr[-3000:]


class Killed(Exception):
    """The run was ended from outside."""


@dataclass
class Agent:
    """A pipeline on the two doors, with a real MCP server and the model that opens either."""

    home: Path
    model: Path

    def materialize(self, *names: str) -> dg.ExecuteInProcessResult:
        """Materialize these assets, and what they are made from."""
        attributes = {
            "name": "doors",
            "base_model": {"source": str(self.model)},
            "tools": {"allow_writing": ["left", "right"]},
            "questions": {"per_tool_without_arguments": 4, "heldout_per_tool": 1},
            "train_jsonl": {"exchanges_per_row": 1},
            # So that it also calls when it is asked in other words than its own.
            "sft_adapter": {
                "epochs": 8,
                "batch_size": 1,
                "learning_rate": 3e-3,
                "precision": "fp32",
            },
            "rl": {**GRPO, "steps": 4, "equal_patience": 4},
        }
        program = str(Path(__file__).with_name("doors_server.py"))
        arguments = [program, str(self.home / "calls")]
        servers = {
            "mcpServers": {
                "doors": {"command": "${python}", "args": arguments, "transport": "stdio"}
            }
        }
        environments = find_engine_env("cpu").python.parent.parent.parent
        engines = LocalEngines(environments=str(environments), device="cpu", home=str(self.home))
        with loaded(attributes, servers) as definitions, dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                assets_of(definitions),
                instance=instance,
                selection=dg.AssetSelection.assets(*(["doors", name] for name in names)).upstream(),
                raise_on_error=False,
                resources={
                    "store": StoreResource(root=str(self.home / "store"), cache=str(self.home)),
                    "mongo": dg.ResourceDefinition.none_resource(),
                    "engines": engines,
                },
            )

    def calls(self) -> int:
        """Calls that the MCP server has answered so far, by its own account."""
        return len((self.home / "calls").read_text(encoding="utf-8").splitlines())

    def manifest(self, name: str) -> tuple[Path, dict[str, Any]]:
        """Folder and manifest of the one artifact of a stage."""
        (path,) = (self.home / "store" / "doors" / name).rglob("manifest.json")
        return path.parent, json.loads(path.read_text(encoding="utf-8"))


def test_the_asset_goes_on_where_it_was_killed_and_its_adapter_merges(
    doors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, reported = Agent(tmp_path, doors / "model"), list[dict[str, Any]]()

    def messages(self: LocalEngines, context: Any) -> Callable[[Mapping[str, Any]], None]:
        def report(message: Mapping[str, Any]) -> None:
            reported.append(dict(message))
            if message.get("step") == 2:
                raise Killed

        return report

    with monkeypatch.context() as patch:
        patch.setattr(LocalEngines, "messages", messages)
        assert not agent.materialize("rl_checkpoint").success
    calls_before = agent.calls()
    result = agent.materialize("rl_merged_model")
    assert result.success
    shown = [
        event.asset_observation_data.asset_observation.metadata
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
    ]
    assert any(
        {"reward", "group_spread", "answer_tokens", "call_validity", "step"} <= set(observation)
        for observation in shown
    )
    folder, manifest = agent.manifest("rl_checkpoint")
    curve = [
        json.loads(line)
        for line in (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [step["step"] for step in curve] == [1, 2, 3, 4]
    assert [step["reward"] for step in curve[:2]] == [
        message["reward"] for message in reported if "step" in message
    ]
    assert manifest["engine"]["name"] == "swift_grpo" and manifest["engine"]["versions"]["ms-swift"]
    assert all(step["rollouts"] == 16 and not step["excluded"] for step in curve)
    # Rollouts reach the MCP server: it counts those of the resumed steps, and what it said is what
    # the model read.
    assert all(step["components"]["executed"] > 0.25 for step in curve)
    executed = sum(step["components"]["executed"] * step["rollouts"] for step in curve[2:])
    completed = len(
        (folder / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    )  # each by one call
    assert agent.calls() - calls_before >= completed + executed
    best = json.loads((folder / "trajectories.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert [message["role"] for message in best["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert (
        best["messages"][1]["tool_calls"] == best["gold_calls"]
        and best["messages"][2]["content"] == "open"
    )
    sft = json.loads(
        (agent.manifest("sft_adapter")[0] / "adapter_config.json").read_text(encoding="utf-8")
    )
    rl = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert {name: rl[name] for name in ("base_model_name_or_path", "r", "target_modules")} == {
        name: sft[name] for name in ("base_model_name_or_path", "r", "target_modules")
    }
    checks = {
        check["name"]: check["passed"] for check in agent.manifest("rl_merged_model")[1]["checks"]
    }
    assert checks["adapter_loads"] and checks["parity"]


def test_weights_that_are_no_numbers_end_the_run_and_the_last_good_checkpoint_stays(
    doors: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        EngineFailed, match="at step 2; the last good checkpoint is step 1"
    ) as caught:
        run(tmp_path, doors, learning_rate=1e30, steps=3)
    assert "rl.learning_rate" in str(caught.value.next_step)
    assert last_checkpoint_step(tmp_path / "swift" / "checkpoints") == 1


def test_an_adapter_of_another_base_is_refused(doors: Path, tmp_path: Path) -> None:
    shutil.copytree(doors / "adapter", tmp_path / "adapter")
    settings = tmp_path / "adapter" / "adapter_config.json"
    text = settings.read_text(encoding="utf-8")
    base = json.loads(text)["base_model_name_or_path"]
    settings.write_text(text.replace(base, "base:000000000000"), encoding="utf-8")
    with pytest.raises(BaseModelError, match="was trained on base:000000000000"):
        run(tmp_path / "work", doors, adapter=tmp_path / "adapter")


def test_vllm_in_the_trainer_needs_a_gpu(doors: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rl\.in_process"):
        run(tmp_path, doors, in_process=True)


@pytest.mark.gpu
@pytest.mark.skipif(not detect_gpus(), reason="needs a GPU")
@pytest.mark.parametrize("in_process", [True, False])
def test_vllm_samples_on_a_gpu(doors: Path, tmp_path: Path, in_process: bool) -> None:
    if not in_process and len(detect_gpus()) < 2:
        pytest.skip("needs a second GPU")
    trained = run(tmp_path, doors, env="gpu", in_process=in_process, steps=2)
    assert [step.numbers["step"] for step in trained.outcome.steps] == [
        1,
        2,
    ] and trained.device != "cpu"
