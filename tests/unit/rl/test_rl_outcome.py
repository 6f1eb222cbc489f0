"""What a run says in the end: the line of the report, the curve, and the trajectories it keeps."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_assets.conversations.items import EvalItem
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.pages.plots import reward_curve
from agent_assets.evaluation.pages.report_html import render_report
from agent_assets.evaluation.report import build_report, markdown_summary
from agent_assets.evaluation.report_schema import Report, RlComparison
from agent_assets.rl.comparison import compare_rewards
from agent_assets.rl.config import RewardWeights
from agent_assets.rl.records import (
    TrainingStep,
    read_steps,
    write_outcome,
    write_step,
    zero_variance_share,
)
from support.evaluation_cases import TOOLS, call, item, rollout

RIGHT = [call("get_current_date")]
LEARNED = {
    "learned": True,
    "verdict": "mean training reward 0.50 in the first, 0.90 in the last 2 of 8 steps",
}


@pytest.fixture
def items() -> list[EvalItem]:
    return [item(f"i{number}", tool="get_current_date", gold_values=["ok"]) for number in range(20)]


def results(items: list[EvalItem], right: int) -> list[ItemResult]:
    return [rollout(each, RIGHT if n < right else (), "It is ok.") for n, each in enumerate(items)]


def compared(
    items: list[EvalItem],
    sft: int,
    rl: int,
    training: dict[str, Any] = LEARNED,
    scenarios: tuple[int, int] | None = None,
) -> RlComparison:
    """The comparison with so many items (and scenarios) right under SFT and RL."""
    systems = {"base": results(items, 0), "sft": results(items, sft), "rl": results(items, rl)}
    harder: dict[str, list[ItemResult]] = (
        {}
        if scenarios is None
        else dict(zip(("sft", "rl"), (results(items, n) for n in scenarios), strict=True))
    )
    changes = report_of(items, systems).deltas["rl_vs_sft"]
    return compare_rewards(
        systems,
        {"base": [], **harder},
        TOOLS,
        RewardWeights(),
        changes=changes,
        training=training,
        seed=1,
        samples=500,
    )


def report_of(items: list[EvalItem], systems: dict[str, list[ItemResult]]) -> Report:
    return build_report(
        pipeline="p",
        partition=None,
        items=items,
        results=systems,
        tools=TOOLS,
        seconds=1.0,
        seed=1,
        samples=200,
    )


def test_the_line_says_helped_hurt_or_cannot_be_told_with_its_interval(
    items: list[EvalItem],
) -> None:
    better = compared(items, 8, 16)
    assert better.line.startswith("RL helped: reward against SFT +0.400 [+0.2")
    assert "] on 20 held-out items (0.400 to 0.800) (95% intervals)" in better.line
    assert better.rewards == {"base": 0.0, "sft": 0.4, "rl": 0.8}
    assert compared(items, 16, 8).line.startswith("RL hurt: reward against SFT -0.400")
    assert compared(items, 10, 10).line.startswith(
        "RL made no difference that can be told: reward against SFT +0.000"
    )


def test_held_out_scenarios_decide_and_held_out_items_are_told_beside_them(
    items: list[EvalItem],
) -> None:
    comparison = compared(items, 20, 19, scenarios=(4, 16))
    assert comparison.line.startswith("RL helped: reward against SFT +0.600 [+0.")
    assert "] on 20 held-out scenarios (0.200 to 0.800); -0.050 [" in comparison.line
    assert "] on 20 held-out items (1.000 to 0.950) (95% intervals)" in comparison.line
    assert (
        comparison.scenarios is not None
        and comparison.scenarios.rewards == {"sft": 0.2, "rl": 0.8}
        and comparison.rewards["rl"] == 0.95
    )


def test_the_line_does_not_hide_what_was_lost_on_ordinary_items(items: list[EvalItem]) -> None:
    same, more = (compared(items, 20, 10, scenarios=(4, right)).line for right in (4, 16))
    lost = "on scenarios, and hurt ordinary held-out items: reward against SFT"
    assert same.startswith(f"RL made no difference that can be told {lost}")
    assert more.startswith(f"RL helped {lost}")


def test_a_run_that_learned_nothing_says_why_instead_of_a_difference(items: list[EvalItem]) -> None:
    verdict = "learned nothing: 97% of groups had equal rewards (step 3 of 8); mean reward 0.99"
    line = compared(items, 8, 8, {"learned": False, "verdict": verdict}).line
    assert line == f"RL {verdict}. To be released: SFT."


def test_only_rl_that_helped_and_hurt_nothing_is_to_be_released(items: list[EvalItem]) -> None:
    def candidate(*figures: Any, **more: Any) -> str:
        comparison = compared(items, *figures, **more)
        assert ("To be released: SFT." in comparison.line) == (comparison.candidate == "sft")
        return str(comparison.candidate)

    assert candidate(8, 16) == "rl" and candidate(10, 10) == candidate(16, 8) == "sft"
    assert (
        candidate(20, 20, scenarios=(4, 16)) == "rl"
        and candidate(20, 19, scenarios=(4, 16)) == "rl"
    )
    assert candidate(20, 10, scenarios=(4, 16)) == "sft" == candidate(20, 20, scenarios=(4, 4))
    assert candidate(8, 16, {"learned": False, "verdict": "learned nothing"}) == "sft"


def test_rl_that_calls_better_and_answers_worse_is_not_released(items: list[EvalItem]) -> None:
    """A reward for exactly right calls alone says nothing of the answers after them."""
    calls_only = RewardWeights.model_validate(
        dict.fromkeys(RewardWeights.model_fields, 0.0) | {"exact": 1.0}
    )
    silent = [rollout(each, RIGHT, "Blah blah.") for each in items]
    systems = {"sft": results(items, 20), "rl": silent}
    harder = {"sft": results(items, 4), "rl": silent}
    changes = report_of(items, systems).deltas["rl_vs_sft"]
    comparison = compare_rewards(
        systems, harder, TOOLS, calls_only, changes=changes, training=LEARNED, seed=1, samples=500
    )
    assert comparison.line.startswith("RL helped") and comparison.candidate == "sft"
    assert (
        "Worse than SFT: Answer states every value -1.000 [-1.000, -1.000]. To be released: SFT."
        in comparison.line
    )


def test_items_that_one_system_failed_on_are_not_paired(items: list[EvalItem]) -> None:
    rl = [rollout(items[0], error="EngineFailed"), *results(items, 20)[1:]]
    systems = {"sft": results(items, 20), "rl": rl}
    comparison = compare_rewards(
        systems, {}, TOOLS, RewardWeights(), changes={}, training=LEARNED, seed=1, samples=100
    )
    assert comparison.items == 19


def test_the_report_shows_the_line_and_the_change_from_sft_to_rl(items: list[EvalItem]) -> None:
    systems = {"base": results(items, 0), "sft": results(items, 8), "rl": results(items, 16)}
    comparison = compared(items, 8, 16)
    report = report_of(items, systems).with_rl(comparison)
    change = report.deltas["rl_vs_sft"]["tool_call_accuracy"]
    assert change is not None and change.mean == 0.4
    assert comparison.line in markdown_summary(report)
    page = render_report(report, items, systems, training_data={})
    assert comparison.line in page and "RL" in page


def step(number: int, rewards: list[float], equal: int = 0) -> TrainingStep:
    numbers = {
        "step": number,
        "reward": sum(rewards) / len(rewards),
        "group_spread": 0.5,
        "call_validity": None,
        "groups": 2,
        "equal_groups": equal,
    }
    trajectories = [
        {"step": number, "scenario": "s", "number": n, "reward": value}
        for n, value in enumerate(rewards)
    ]
    return TrainingStep(numbers, trajectories)


def test_best_and_worst_trajectories_are_kept_once_each(tmp_path: Path) -> None:
    steps = [
        step(1, [0.1, 0.9, 0.5, 0.3]),
        step(2, [0.2, 1.0, 0.6, 0.4]),
        step(3, [0.0, 0.7, 0.8, 0.55]),
    ]
    write_outcome(tmp_path, steps)
    lines = (tmp_path / "trajectories.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [(record["rank"], record["reward"]) for record in map(json.loads, lines)]
    assert kept == [
        ("best", 1.0),
        ("best", 0.9),
        ("best", 0.8),
        ("best", 0.7),
        ("best", 0.6),
        ("worst", 0.4),
        ("worst", 0.3),
        ("worst", 0.2),
        ("worst", 0.1),
        ("worst", 0.0),
    ]
    write_outcome(tmp_path, steps[:1])
    assert len((tmp_path / "trajectories.jsonl").read_text(encoding="utf-8").splitlines()) == 4


def test_records_of_a_step_that_was_not_finished_are_left_out(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_step(tmp_path, step(number, [1.0], equal=number - 1))
    assert [record.numbers["step"] for record in read_steps(tmp_path, last=2)] == [1, 2]
    assert zero_variance_share(read_steps(tmp_path, last=3)) == 0.5
    assert zero_variance_share([]) == 1.0


def test_the_reward_curve_is_a_small_repeatable_png() -> None:
    curve = [step(1, [0.2]).numbers, step(2, [0.8]).numbers]
    assert reward_curve(curve, max_reward=1.0).startswith(b"\x89PNG")
    assert reward_curve(curve, max_reward=1.0) == reward_curve(curve, max_reward=1.0)
    assert reward_curve([], max_reward=1.0).startswith(b"\x89PNG")
