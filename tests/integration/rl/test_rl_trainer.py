"""The trainer as a process of its own: same requests same bytes, resume, KL, and what it
refuses.
"""

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_assets.engines.environment import EngineEnv, find_engine_env
from agent_assets.engines.launch.resident import Trainer
from agent_assets.engines.rl_contracts import (
    LearnedSequence,
    LearnReply,
    LearnRequest,
    TrainerParams,
)
from agent_assets.errors import BaseModelError, EngineFailed
from support.tiny_model import make_neutral_adapter
from support.two_doors import LIMITS

pytestmark = pytest.mark.engine
SETTINGS: dict[str, Any] = {
    "precision": "fp32",
    "learning_rate": 1e-2,
    "advantage": "dr_grpo",
    "clip": 0.2,
    "kl": 0.0,
    "max_grad_norm": 1.0,
    "max_tokens": 8,
    "seed": 1,
}
# A uniform guess over the vocabulary: close to what the random model says.
GUESS = -10.8


@pytest.fixture(scope="module")
def places(
    tiny_model: Path, engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("trainer") / "adapter"
    return tiny_model, make_neutral_adapter(folder, tiny_model, engine_env)


def batch(*, logprob: float = GUESS) -> LearnRequest:
    """Two rollouts of one question: the first answer was good, the second bad."""
    learned = [
        LearnedSequence(
            [10, 20, 30, answer, answer + 1], [[3, 5]], [logprob] * 2, [advantage], rollout_tokens=2
        )
        for answer, advantage in ((100, 0.5), (200, -0.5))
    ]
    return LearnRequest(learned, rollouts=2)


def train(
    work: Path, places: tuple[Path, Path], batches: Mapping[int, LearnRequest], **changed: Any
) -> list[LearnReply]:
    """Make the given steps, from the latest checkpoint in `work` or from the adapter; metrics of
    each.
    """
    model, adapter = places
    checkpoints = work / "checkpoints"
    if not checkpoints.exists():
        (checkpoints / "0000").mkdir(parents=True)
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            (checkpoints / "0000" / name).write_bytes((adapter / name).read_bytes())
    start = max(int(path.name) for path in checkpoints.glob("0*"))
    files = work / "files"
    params = TrainerParams(
        model_dir=model,
        checkpoints=checkpoints,
        start_step=start,
        requests=files,
        **SETTINGS | changed,
    )
    trainer = Trainer(files, params, env=find_engine_env("cpu"), limits=LIMITS, lease=None)

    async def run() -> list[LearnReply]:
        await trainer.ready()
        return [await trainer.learn(step, request) for step, request in batches.items()]

    try:
        return asyncio.run(run())
    finally:
        trainer.stop()


def weights(work: Path, step: int) -> bytes:
    return (work / "checkpoints" / f"{step:04d}" / "adapter_model.safetensors").read_bytes()


def test_good_answers_become_likelier_and_a_resumed_training_ends_in_the_same_bytes(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    steps = {step: batch() for step in range(1, 5)}
    whole = train(tmp_path / "whole", places, steps)
    # The mean ratio of both would stay where it was; the loss says that the good one gained on the
    # bad one.
    assert whole[-1].loss < whole[0].loss
    assert all(step.trained_tokens == 4 for step in whole) and whole[0].grad_norm > 0
    train(tmp_path / "halves", places, {1: batch(), 2: batch()})
    train(tmp_path / "halves", places, {3: batch(), 4: batch()})
    for step in (1, 2, 3, 4):
        assert weights(tmp_path / "whole", step) == weights(tmp_path / "halves", step), step


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_last_checkpoint(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(
        EngineFailed, match="at step 2; the last good checkpoint is step 1"
    ) as caught:
        train(tmp_path, places, {1: batch(), 2: batch(logprob=float("-1e30"))})
    assert "rl.learning_rate" in str(caught.value.next_step)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["0000", "0001"]


def test_the_kl_term_is_zero_at_the_reference_and_grows_away_from_it(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    first, *_, last = train(
        tmp_path / "kl", places, {step: batch() for step in (1, 2, 3)}, kl=0.1, advantage="grpo"
    )
    assert abs(first.kl) < 1e-6 < last.kl


def test_what_sft_dropped_out_is_not_dropped_out_here(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    """The server samples without dropout: with it, ratios, KL term and gradients would be those of
    another policy.
    """
    model, adapter = places
    dropping = tmp_path / "adapter"
    shutil.copytree(adapter, dropping)
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")) | {
        "lora_dropout": 0.5
    }
    (dropping / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    steps = {1: batch(), 2: batch()}
    plain = train(tmp_path / "plain", places, steps, kl=0.1)
    dropped = train(tmp_path / "dropped", (model, dropping), steps, kl=0.1)
    for before, other in zip(plain, dropped, strict=True):
        for name in ("loss", "kl", "grad_norm", "probability_ratio"):
            assert getattr(other, name) == pytest.approx(
                getattr(before, name), rel=1e-2, abs=1e-6
            ), name


def test_an_adapter_of_another_base_is_refused(places: tuple[Path, Path], tmp_path: Path) -> None:
    model, adapter = places
    other = tmp_path / "adapter"
    other.mkdir()
    (other / "adapter_model.safetensors").write_bytes(
        (adapter / "adapter_model.safetensors").read_bytes()
    )
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = "base:000000000000"
    (other / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(BaseModelError, match="was trained on base:000000000000"):
        train(tmp_path / "work", (model, other), {1: batch()})
