"""Reinforcement learning with real parts (vLLM, our trainer, ART) teaches a tiny model what rewards
alone can teach.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_assets.errors import EngineFailed
from agent_assets.rl import rollouts, train_loop
from agent_assets.rl.config import RlConfig
from agent_assets.rl.rollouts import Trajectory
from agent_assets.rl.train_loop import TrainingOutcome
from support import two_doors
from support.two_doors import SETTINGS, train

pytestmark = pytest.mark.engine
CONFIG = RlConfig(**SETTINGS)
LAST = 4  # steps that count as after training


@pytest.fixture(scope="module")
def places(doors: Path) -> tuple[Path, Path, Path]:
    return doors, doors / "model", doors / "adapter"


@pytest.fixture(scope="module")
def learned(places: tuple[Path, Path, Path]) -> tuple[Path, TrainingOutcome]:
    folder, model, adapter = places
    return folder / "learned", train(folder / "learned", model, adapter, CONFIG)


def opened_right(outcome: TrainingOutcome, steps: slice) -> tuple[int, int]:
    """Rollouts that called the right door, and all of them."""
    chosen = [trajectory for step in outcome.steps[steps] for trajectory in step.trajectories]
    return sum(trajectory["components"].get("tool") == 1.0 for trajectory in chosen), len(chosen)


def fisher(right: int, of: int, other_right: int, other_of: int) -> float:
    """One-sided p value of Fisher's exact test: that the first does better by luck."""
    total, all_of = right + other_right, of + other_of
    ways = range(right, min(of, total) + 1)
    return sum(comb(of, k) * comb(other_of, total - k) for k in ways) / comb(all_of, total)


def test_it_learns_to_choose_and_a_control_with_shuffled_rewards_does_not(
    places: tuple[Path, Path, Path],
    learned: tuple[Path, TrainingOutcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, model, adapter = places
    outcome = learned[1]
    assert outcome.learned
    before, after = opened_right(outcome, slice(0, 1)), opened_right(outcome, slice(-LAST, None))
    assert after[0] / after[1] > 0.7, (before, after)

    honest = rollouts.roll_out_groups

    async def shuffled(*arguments: Any, **settings: Any) -> list[list[Trajectory]]:
        """The same rewards, each given to the rollout after the one that earned it."""
        groups = await honest(*arguments, **settings)
        return [
            [
                replace(trajectory, reward=other.reward)
                for trajectory, other in zip(group, group[1:] + group[:1], strict=True)
            ]
            for group in groups
        ]

    monkeypatch.setattr(train_loop, "roll_out_groups", shuffled)
    control = opened_right(train(folder / "control", model, adapter, CONFIG), slice(-LAST, None))
    assert fisher(*after, *control) < 0.01, (after, control)


def test_old_adapters_leave_the_server(learned: tuple[Path, TrainingOutcome]) -> None:
    """One adapter at a time: each step is loaded once, under a name of its own, and the one before
    is unloaded.
    """
    log = next((learned[0] / "logs" / "server").glob("*.log")).read_text(encoding="utf-8")
    loads, unloads = (
        log.count("POST /v1/load_lora_adapter"),
        log.count("POST /v1/unload_lora_adapter"),
    )
    assert loads == unloads == SETTINGS["steps"]


@pytest.fixture
def killed(places: tuple[Path, Path, Path]) -> Iterator[Path]:
    """A training that was killed by signal 9 while it made its third step or a later one."""
    folder, _, _ = places
    work = folder / "work"
    program = Path(two_doors.__file__)
    paths = os.pathsep.join(
        [str(program.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # tests' modules
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder), str(SETTINGS["steps"])],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step") == 2:
            break
    engines = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(engines, timeout=20)
    assert not any(
        engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE for engine in engines
    )
    yield work


def test_a_killed_training_goes_on_to_the_same_checkpoint(
    places: tuple[Path, Path, Path], learned: tuple[Path, TrainingOutcome], killed: Path
) -> None:
    _, model, adapter = places
    checkpoints = sorted(
        path.name
        for path in (killed / "art" / "doors" / "models" / "rl-test" / "checkpoints").glob("0*")
    )
    assert "0002" in checkpoints and f"{SETTINGS['steps']:04d}" not in checkpoints
    resumed = train(killed, model, adapter, CONFIG)
    assert [step.numbers["step"] for step in resumed.steps] == list(range(1, SETTINGS["steps"] + 1))
    whole = learned[1].checkpoint
    for name in ("adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"):
        assert (resumed.checkpoint / name).read_bytes() == (whole / name).read_bytes(), name


def test_an_inference_server_that_dies_is_named(places: tuple[Path, Path, Path]) -> None:
    folder, model, adapter = places

    class Killer:
        async def call(self, call: Any) -> Any:
            for process in psutil.Process().children(recursive=True):
                if "vllm" in " ".join(process.cmdline()):
                    process.kill()
            raise ConnectionError("the server is gone, and with it what it said")

    with pytest.raises((EngineFailed, ConnectionError)) as caught:
        train(
            folder / "killer",
            model,
            adapter,
            CONFIG.model_copy(update={"steps": 1}),
            toolbox=Killer(),
        )
    assert "vllm" in str(caught.value)
