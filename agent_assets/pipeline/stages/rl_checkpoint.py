"""Stage `rl_checkpoint`: the SFT adapter, trained further by rewards on scenarios."""

import asyncio
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject
from agent_assets.engines.contracts import ADAPTER_FILES
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.pipeline.evaluating.served_answers import held_as, served_tool_call_parser
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    resume_folder,
)
from agent_assets.store.manifest import CheckEntry, EngineEntry

if TYPE_CHECKING:
    from agent_assets.rl.backends.choice import Trained
    from agent_assets.rl.scenarios.scenarios import Scenario


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the checkpoint depends on: hyper-parameters, rewards, wordings, the servers that
    answer.
    """
    return pipeline.config.rl.fingerprint_settings() | {
        "system_prompt": pipeline.config.system_prompt,
        "wordings_sha256": pipeline.hash_of(pipeline.config.questions.wordings),
        "mcp_config": pipeline.tool_servers.version,
        **({"tool_call_parser": parser} if (parser := served_tool_call_parser()) else {}),
        **held_as(pipeline.config.base_model),
    }


def present(pipeline: PipelineSpec) -> bool:
    """Only where reinforcement learning is wanted."""
    return pipeline.config.rl.enabled


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Make scenarios, train on them, and draw the reward curve."""
    from agent_assets.conversations.items import write_items
    from agent_assets.evaluation.pages.plots import reward_curve
    from agent_assets.rl.records import write_outcome
    from agent_assets.rl.scenarios.file import summary, write_scenarios
    from agent_assets.rl.scenarios.scenarios import HELDOUT_SCENARIOS_FILE, SCENARIOS_FILE

    started = time.monotonic()
    work = resume_folder(folder)
    work.mkdir(exist_ok=True)
    with run.traced():
        trained, scenarios, heldout = asyncio.run(_train(run, work))
    write_scenarios(folder / SCENARIOS_FILE, scenarios)
    write_items(folder / HELDOUT_SCENARIOS_FILE, (scenario.item for scenario in heldout))
    write_outcome(folder, trained.outcome.steps)
    _copy_adapter(trained.outcome.checkpoint, folder, like=run.path("sft_adapter"))
    curve = [step.numbers for step in trained.outcome.steps]
    (folder / "plots").mkdir()
    (folder / "plots" / "reward.png").write_bytes(reward_curve(curve, max_reward=1.0))
    counts = _counts(curve)
    facts = {
        "verdict": trained.outcome.verdict,
        "learned": trained.outcome.learned,
        "steps": len(curve),
        "judge": trained.judge,
        "heldout_scenarios": len(heldout),
        **counts,
        **{
            f"scenarios_{name}" if name != "scenarios" else name: value
            for name, value in summary(scenarios).items()
        },
        "training_seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": trained.peak_memory_bytes // 2**20,
    }
    (folder / "rl.json").write_text(
        json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    shutil.rmtree(work)
    return StageResult(
        summary=facts,
        checks=[
            CheckEntry(
                name="adapter_complete",
                passed=all((folder / name).is_file() for name in ADAPTER_FILES),
                description="the adapter of the last checkpoint",
            ),
            CheckEntry(
                name="learned", passed=trained.outcome.learned, description=trained.outcome.verdict
            ),
        ],
        engine=EngineEntry(name=run.config.rl.engine, versions=trained.versions),
        device=trained.device,
        weights_loaded=trained.weights_loaded,
        version_suffixes=(".safetensors",),
    )


async def _train(run: StageRun, work: Path) -> "tuple[Trained, list[Scenario], list[Scenario]]":
    from agent_assets.rl.backends.choice import train_rl
    from agent_assets.rl.backends.inputs import TrainingInputs
    from agent_assets.rl.scenarios.scenarios import hold_out, make_scenarios

    tools = read_artifact_tools(run.path("mcp_tool_schema"))
    async with run.pipeline.tool_servers.open(memories=run.memories, log_dir=run.logs) as toolbox:
        scenarios = await make_scenarios(
            run.config.rl,
            questions_folder=run.path("questions"),
            rows_folder=run.path("train_jsonl"),
            memories_folder=run.memories,
            templates_file=run.pipeline.path_of(run.config.questions.wordings),
            tools=tools,
            toolbox=toolbox,
            questions=run.config.questions,
            rows=run.config.train_jsonl,
            system_prompt=run.config.system_prompt,
        )
        scenarios, heldout = hold_out(
            scenarios, run.config.rl.heldout_scenarios, seed=run.config.rl.seed
        )
        run.context.log.info("%d scenarios to train on, %d held out", len(scenarios), len(heldout))
        with run.engines.lease(run.context) as lease:
            trained = await train_rl(
                run.config.rl,
                inputs=TrainingInputs(
                    run.path("base_model"), run.path("sft_adapter"), scenarios, tools, toolbox
                ),
                context=run.engines.engine_context(
                    lease,
                    run.config.rl.max_minutes,
                    run.config.rl.max_memory_gb,
                    work,
                    run.logs,
                    tool_call_parser=served_tool_call_parser(),
                ),
                work=work,
                report=run.engines.messages(run.context),
            )
    return trained, scenarios, heldout


def _copy_adapter(checkpoint: Path, folder: Path, *, like: Path) -> None:
    """The adapter of a checkpoint, bound to the same base as the adapter `like`: some engines name
    a folder there.
    """
    weights, settings = ADAPTER_FILES
    shutil.copyfile(checkpoint / weights, folder / weights)
    base = json.loads((like / settings).read_text(encoding="utf-8"))["base_model_name_or_path"]
    merged = json.loads((checkpoint / settings).read_text(encoding="utf-8")) | {
        "base_model_name_or_path": base
    }
    text = json.dumps(merged, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / settings).write_text(text + "\n", encoding="utf-8")


def _counts(curve: list[JsonObject]) -> JsonObject:
    """Totals over the steps, as the UI shows them."""
    groups = sum(step["groups"] for step in curve)
    excluded: dict[str, int] = {}
    for step in curve:
        for why, count in step["excluded"].items():
            excluded[why] = excluded.get(why, 0) + count
    rewards = [step["reward"] for step in curve if step["reward"] is not None]
    return {
        "reward_first": rewards[0] if rewards else None,
        "reward_last": rewards[-1] if rewards else None,
        "rollouts": sum(step["rollouts"] for step in curve),
        "equal_reward_groups": f"{sum(step['equal_groups'] for step in curve)} of {groups}",
        "left_out": excluded,
        "rollout_seconds": round(sum(step["rollout_seconds"] for step in curve), 1),
        "train_seconds": round(sum(step.get("train_seconds", 0.0) for step in curve), 1),
    }


STAGE = Stage(
    name="rl_checkpoint",
    description="The SFT adapter trained further by verifiable rewards (and a judge, if "
    "configured) on scenarios that "
    "neither training rows nor held-out items hold; with its reward curve and its best and worst "
    "trajectories.",
    deps=(
        "base_model",
        "mcp_tool_schema",
        "questions",
        "elder_memories",
        "train_jsonl",
        "sft_adapter",
    ),
    kinds=frozenset({"pytorch", "vllm"}),
    code_version="5",
    config=config,
    build=build,
    checks=(
        Check(
            "adapter_complete",
            "Adapter weights and configuration are there; merging proves that they load.",
        ),
        Check(
            "learned",
            "Rewards differed within groups, so that there was something to learn.",
            blocking=False,
        ),
    ),
    gpu=True,
    present=present,
)
