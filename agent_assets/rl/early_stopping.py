"""What the steps of a run say while it goes on and in the end: progress, whether to stop, what was
learned.
"""

from collections.abc import Sequence

from agent_assets.rl.config import RlConfig
from agent_assets.rl.records import TrainingStep, zero_variance_share


def no_signal(steps: Sequence[TrainingStep], config: RlConfig) -> str | None:
    """Why going on would teach nothing, in words; None when it may."""
    if len(steps) < min(config.equal_patience, config.steps):
        return None
    share = zero_variance_share(steps)
    if share <= config.max_equal_share and share < 1.0:
        return None
    rollouts = sum(step.numbers["rollouts"] for step in steps)
    cut = sum(step.numbers["over_length"] for step in steps)
    text = (
        f"learned nothing: {share:.0%} of groups had equal rewards (step {len(steps)} "
        "of "
        f"{config.steps})"
    )
    if rollouts and cut == rollouts:
        return (
            f"{text}; every rollout was cut at its length limit: raise rl.max_tokens "
            "or "
            "rl.max_model_len"
        )
    mean = sum((step.numbers["reward"] or 0.0) * step.numbers["rollouts"] for step in steps) / max(
        1, rollouts
    )
    return f"{text}; mean reward {mean:.2f}"


def reached(steps: Sequence[TrainingStep], config: RlConfig) -> bool:
    """Whether the last step earned the target, and something was learned: training on would only
    cost.
    """
    if config.target_reward is None or not steps or zero_variance_share(steps) == 1.0:
        return False
    reward = steps[-1].numbers["reward"]
    return reward is not None and reward >= config.target_reward


def progress_message(steps: Sequence[TrainingStep], config: RlConfig) -> dict[str, object]:
    """The progress message after a step."""
    last = steps[-1].numbers
    seconds = sum(
        step.numbers["rollout_seconds"] + step.numbers.get("train_seconds", 0.0) for step in steps
    )
    shown = {
        "stage": "reinforcement learning",
        "step": last["step"],
        "total_steps": config.steps,
        "reward": last["reward"],
        "group_spread": last["group_spread"],
        "equal_groups": last["equal_groups"],
        "answer_tokens": last["answer_tokens"],
        "call_validity": last["call_validity"],
        "loss": last["train"].get("loss"),
        "rollout_seconds": last["rollout_seconds"],
        "train_seconds": last["train_seconds"],
        "eta_seconds": round(seconds / len(steps) * (config.steps - len(steps)), 1),
    }
    return {name: value for name, value in shown.items() if value is not None}


def verdict(steps: Sequence[TrainingStep], config: RlConfig) -> str:
    """First against last quarter of the steps, in training reward; the held-out comparison is the
    report's.
    """
    rewards = [step.numbers["reward"] for step in steps if step.numbers["reward"] is not None]
    if not rewards:
        return "no rollout was scored"
    part = max(1, len(rewards) // 4)
    first, last = sum(rewards[:part]) / part, sum(rewards[-part:]) / part
    text = (
        f"mean training reward {first:.2f} in the first, {last:.2f} in the last {part} "
        "of "
        f"{len(rewards)} steps"
    )
    return (
        f"{text}; ended there, at the target of {config.target_reward}"
        if reached(steps, config)
        else text
    )
