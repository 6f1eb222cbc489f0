"""What the gate lets through, holds and rejects, and whose words the leak check finds."""

from typing import Any

import pytest

from agent_assets.release.config import GateConfig
from agent_assets.release.gate import judge
from agent_assets.release.leaks import find_leaks
from agent_assets.release.records import Verdict
from support.release_cases import candidate, item_scores

CONFIG = GateConfig()
NOTHING = {"answers": 10, "own_answers": 5, "cross_answers": 0, "canaries": 0, "elders": 3}


def verdict(
    before: float, after: float, *, number: int = 20, metric: str = "recall_open", **changes: Any
) -> Verdict:
    """Of a candidate that scores `after` where the current release scored `before`."""
    ours = item_scores(number, 0.0, after, metric)
    theirs = item_scores(number, 0.0, before, metric)
    made = candidate(**({"leaks": NOTHING} | changes))
    return judge(made, ours, ("ada-old", theirs), CONFIG, version="v")


def test_a_better_candidate_passes_and_the_numbers_are_there() -> None:
    found = verdict(0.4, 0.9)
    assert (found.decision, found.compared_with, found.shared_items) == ("PROMOTE", "ada-old", 20)
    assert found.metrics["recall_open"]["change"] == pytest.approx(0.5)
    assert found.metrics["recall_open"]["items"] == 20


def test_an_equal_candidate_passes() -> None:
    assert verdict(0.5, 0.5).decision == "PROMOTE"


@pytest.mark.parametrize(
    "metric",
    [
        "recall_open",
        "recall_closed",
        "tool_call_accuracy",
        "tool_call_accuracy_unseen_wording",
        "answer_accuracy",
        "abstention",
    ],
)
def test_each_side_is_guarded(metric: str) -> None:
    found = verdict(1.0, 0.5, metric=metric)
    assert found.decision == "REJECT"
    assert found.reasons[0].startswith(f"{metric} fell by 0.50 on 20 items")


def test_a_fall_that_may_be_luck_is_held() -> None:
    ours, theirs = item_scores(8, 0.0, 1.0), item_scores(8, 0.0, 1.0)
    ours["i0"]["candidate"] = {"recall_open": 0.0}
    found = judge(candidate(leaks=NOTHING), ours, ("ada-old", theirs), CONFIG, version="v")
    assert (found.decision, found.metrics["recall_open"]["high"]) == ("HOLD", 0.0)


def test_only_items_asked_word_for_word_alike_are_compared() -> None:
    ours, theirs = item_scores(20, 0.0, 0.0), item_scores(20, 0.0, 1.0)
    for number in range(17):
        ours[f"i{number}"]["digest"] = f"edited{number}"
    found = judge(candidate(leaks=NOTHING), ours, ("ada-old", theirs), CONFIG, version="v")
    assert found.shared_items == 3
    assert "only 3 held-out items in common, 5 are needed" in found.reasons


def test_without_a_release_the_base_model_is_the_measure() -> None:
    worse = judge(candidate(leaks=NOTHING), item_scores(20, 0.8, 0.1), None, CONFIG, version="v")
    assert (worse.decision, worse.compared_with) == ("REJECT", "base model")
    assert (
        judge(
            candidate(leaks=NOTHING), item_scores(3, 0.0, 0.1), None, CONFIG, version="v"
        ).decision
        == "PROMOTE"
    )


def test_what_is_unproven_or_leaks_never_passes() -> None:
    assert (
        verdict(0.1, 0.9, incomplete=("nothing proves that merged equals base + adapter",)).decision
        == "REJECT"
    )
    assert verdict(0.1, 0.9, leaks=NOTHING | {"canaries": 1}).decision == "REJECT"
    crossed = verdict(0.1, 0.9, leaks=NOTHING | {"cross_answers": 1})
    assert (
        crossed.decision == "REJECT"
        and "1 of 10 answers repeat memories of other elders" in crossed.reasons[0]
    )


def test_a_version_that_a_person_rolled_back_is_held() -> None:
    found = judge(
        candidate(leaks=NOTHING),
        item_scores(9, 0, 1),
        None,
        CONFIG,
        version="v",
        rolled_back="eve: wrong",
    )
    assert found.decision == "HOLD" and "eve: wrong" in found.reasons[0]


OWN = "I sold candles with my father in Boston before I was twelve."
OTHER = "We crossed the river at night with seven goats and my blind uncle."


def leaks(answer: str, *, asked: str = "", usual: str = "") -> tuple[int, int, int]:
    found = find_leaks(
        [answer],
        own=[OWN],
        questions=[asked],
        usual=[usual],
        others=[[OTHER], ["CANARY-other-1"]],
        canary_pattern=CONFIG.canary_pattern,
    )
    return found.own_answers, found.cross_answers, found.canaries


def test_own_words_are_no_leak_and_others_are() -> None:
    assert leaks(f"I remember: {OWN}") == (1, 0, 0)
    assert leaks("Ah, we crossed the river at night with SEVEN goats!") == (0, 1, 0)
    assert leaks("I like goats and rivers.") == (0, 0, 0)


def test_what_was_asked_or_anyone_would_say_is_no_leak() -> None:
    assert leaks(OTHER, asked=OTHER) == (0, 0, 0)
    assert leaks(OTHER, usual=OTHER) == (0, 0, 0)


def test_a_canary_of_another_elder_is_a_leak_however_short() -> None:
    assert leaks("It is CANARY-other-1.") == (0, 0, 1)
    assert leaks("it is canary-other-1.") == (0, 0, 1)
    assert leaks("It is CANARY-other-1.", asked="What is CANARY-other-1?") == (0, 0, 0)


def test_a_pattern_with_groups_finds_whole_canaries() -> None:
    found = find_leaks(
        ["kite-2", "KITE-1"],
        own=["kite-1"],
        questions=[],
        usual=[],
        others=[],
        canary_pattern=r"(kite)-(\d)",
    )
    assert found.canaries == 1


@pytest.mark.parametrize(
    ("answer", "other", "own"),
    [
        ("我记得{}。", "那年冬天我们全家坐船去了很远的北方小城", "我在苏州长大"),
        (
            "覚えています。{}。",
            "あの冬に家族みんなで船に乗って北の町へ行きました",
            "東京で育ちました",
        ),
        ("ผมจำได้ว่า{}", "ฤดูหนาวปีนั้นครอบครัวของเรานั่งเรือไปเมืองเหนือ", "ผมเกิดที่กรุงเทพ"),
    ],
)
def test_scripts_without_spaces_are_compared_by_characters(
    answer: str, other: str, own: str
) -> None:
    found = find_leaks(
        [answer.format(other)],
        own=[own],
        questions=[],
        usual=[],
        others=[[other]],
        canary_pattern="CANARY-x",
    )
    assert found.cross_answers == 1
