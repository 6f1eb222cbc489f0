"""What a training run leaves behind: one record per step while it runs, curve and trajectories when
it is done.

A record is written before its step is trained and completed after it, each time in one piece: a run
that was killed goes on from the last checkpoint with the records up to it.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.rl.advantages import has_zero_variance
from agent_assets.rl.rollouts import OVER_LENGTH, Trajectory

CURVE_FILE, TRAJECTORIES_FILE = "curve.jsonl", "trajectories.jsonl"
KEPT = 5  # best, and worst, of a run


@dataclass(frozen=True)
class TrainingStep:
    """One step: numbers for the curve, and its trajectories."""

    numbers: JsonObject
    trajectories: list[JsonObject]


def describe_step(
    step: int, groups: Sequence[Sequence[Trajectory]], excluded: Mapping[str, int], seconds: float
) -> TrainingStep:
    """Numbers and trajectories of the rollouts of one step.

    Args:
        groups: the scored trajectories of each scenario that is learned from.
        excluded: why rollouts and groups were left out, counted.
        seconds: wall-clock time of the rollouts and their scoring.
    """
    trajectories = [trajectory for group in groups for trajectory in group]
    rewards = [[total(trajectory) for trajectory in group] for group in groups]
    flat = [value for group in rewards for value in group]
    numbers: JsonObject = {
        "step": step,
        "reward": _mean(flat),
        "group_spread": _mean([max(group) - min(group) for group in rewards]),
        "groups": len(groups),
        "equal_groups": sum(map(has_zero_variance, rewards)),
        "rollouts": len(trajectories),
        "answer_tokens": _mean([trajectory.tokens for trajectory in trajectories]),
        "over_length": sum(trajectory.stop_reason == OVER_LENGTH for trajectory in trajectories),
        "tool_errors": sum(trajectory.tool_errors for trajectory in trajectories),
        "components": _components(trajectories),
        "excluded": dict(excluded),
        "rollout_seconds": round(seconds, 2),
    }
    numbers["call_validity"] = numbers["components"].get("schema_valid")
    return TrainingStep(numbers, [_trajectory(step, trajectory) for trajectory in trajectories])


def total(trajectory: Trajectory) -> float:
    """Reward of a trajectory that has one."""
    assert trajectory.reward is not None, "trajectories without a reward are left out before"
    return trajectory.reward.total


def write_step(folder: Path, step: TrainingStep) -> None:
    """Keep a record, in one piece."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{step.numbers['step']:04d}.json"
    partial = path.with_name(f".{path.name}")
    partial.write_text(
        canonical_json({"numbers": step.numbers, "trajectories": step.trajectories}),
        encoding="utf-8",
    )
    partial.rename(path)


def read_steps(folder: Path, *, last: int) -> list[TrainingStep]:
    """Records of the steps 1 to `last`; later ones belong to a step that was not finished."""
    records = [
        json.loads((folder / f"{step:04d}.json").read_text(encoding="utf-8"))
        for step in range(1, last + 1)
    ]
    return [TrainingStep(record["numbers"], record["trajectories"]) for record in records]


def write_outcome(folder: Path, steps: Sequence[TrainingStep]) -> None:
    """Write curve.jsonl, and the best and worst trajectories of the run as trajectories.jsonl."""
    _write_lines(folder / CURVE_FILE, (step.numbers for step in steps))
    ranked = sorted(
        (trajectory for step in steps for trajectory in step.trajectories),
        key=lambda trajectory: (
            -trajectory["reward"],
            trajectory["step"],
            trajectory["scenario"],
            trajectory["number"],
        ),
    )
    worst = ranked[KEPT:][-KEPT:]
    shown = [{"rank": "best", **trajectory} for trajectory in ranked[:KEPT]] + [
        {"rank": "worst", **trajectory} for trajectory in worst
    ]
    _write_lines(folder / TRAJECTORIES_FILE, shown)


def zero_variance_share(steps: Sequence[TrainingStep]) -> float:
    """Share of the groups so far whose rewards were all equal."""
    groups = sum(step.numbers["groups"] for step in steps)
    return sum(step.numbers["equal_groups"] for step in steps) / groups if groups else 1.0


def _components(trajectories: Sequence[Trajectory]) -> dict[str, float | None]:
    components: dict[str, list[float]] = {}
    for trajectory in trajectories:
        for name, value in (
            trajectory.reward.components if trajectory.reward is not None else {}
        ).items():
            components.setdefault(name, []).append(value)
    return {name: _mean(values) for name, values in sorted(components.items())}


def _trajectory(step: int, trajectory: Trajectory) -> JsonObject:
    return {
        "step": step,
        "scenario": trajectory.scenario.item.id,
        "number": trajectory.number,
        "reward": total(trajectory),
        "components": dict(trajectory.reward.components) if trajectory.reward is not None else {},
        "stop_reason": trajectory.stop_reason,
        "gold_calls": trajectory.scenario.item.gold_calls,
        "messages": [
            {"role": message.role, "content": message.content}
            | (
                {
                    "tool_calls": [
                        {"name": c.name, "arguments": c.arguments} for c in message.tool_calls
                    ]
                }
                if message.tool_calls
                else {}
            )
            for message in trajectory.messages
        ],
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 6) if values else None


def _write_lines(path: Path, values: Iterable[object]) -> None:
    path.write_text("".join(canonical_json(value) + "\n" for value in values), encoding="utf-8")
