"""Whoever reads Chinese learns in Chinese why a version answers, or does not."""

import re
from typing import Any, get_args

import pytest

from agent_assets.release.config import GateConfig
from agent_assets.release.gate import judge
from agent_assets.release.records import Items, ReasonCode, Verdict
from agent_assets.serving.webapp.gate_words import SENTENCES
from agent_assets.serving.webapp.verdicts import reasons_in_words
from agent_assets.serving.webapp.words import CATALOGS, words_in
from support.release_cases import candidate, item_scores

CLEAN = {"answers": 10, "own_answers": 5, "cross_answers": 0, "canaries": 0, "elders": 3}
CLEAN |= {"cross_questions": 12, "cross_told": 0, "cross_chance": 0, "cross_repeated": 0}
LEAKS = CLEAN | {"canaries": 2, "cross_answers": 3, "cross_told": 4, "cross_leaks": 1}
UNKNOWN = {"answers": 10, "own_answers": 5, "known_elders": 4}


def scores(metric: str, number: int, base: float, ours: float) -> Items:
    items = item_scores(number, base, ours, metric)
    return {
        f"{metric}-{name}": item | {"digest": f"{metric}{name}"} for name, item in items.items()
    }


def of(items: Items, *, before: Items | None = None, **changes: Any) -> Verdict:
    made = candidate(**({"leaks": CLEAN} | changes))
    released = None if before is None else ("ada-old", before)
    rolled_back = "小明" if before is not None else None
    return judge(made, items, released, GateConfig(), version="v", rolled_back=rolled_back)


GOOD = scores("recall_open", 20, 0.0, 1.0) | scores("abstention", 20, 0.0, 1.0)
VERDICTS = [
    of(GOOD),
    of(GOOD, leaks=LEAKS, incomplete=("nothing proves that merged equals base + adapter",)),
    of(scores("recall_open", 3, 0.0, 0.0), before=GOOD, leaks=UNKNOWN),
    of(scores("recall_open", 20, 1.0, 0.0), before=GOOD),
    of(scores("recall_closed", 20, 1.0, 0.0) | GOOD),
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: verdict.decision)
def test_every_reason_is_chinese(verdict: Verdict) -> None:
    reasons = reasons_in_words(words_in("zh"), verdict)
    assert len(reasons) == len(verdict.codes) > 0
    for reason in reasons:
        assert re.search(r"[\u4e00-\u9fff]", reason), reason
        assert not re.search(r"[A-Za-z{}]", reason), reason


def test_the_cases_above_give_every_reason_there_is() -> None:
    given = {reason.code for verdict in VERDICTS for reason in verdict.codes}
    assert given == set(get_args(ReasonCode))


def test_counts_and_shares_are_those_of_the_verdict() -> None:
    reasons = reasons_in_words(words_in("zh"), of(scores("recall_open", 20, 0.0, 0.25)))
    assert "记得讲过的事：20 题中 5 题，至少需要 50%" in reasons


def test_a_verdict_from_before_there_were_codes_is_told_by_its_figures() -> None:
    old = VERDICTS[0].model_copy(update={"codes": ()})
    assert "记得讲过的事: 20 题中 20 题" in reasons_in_words(words_in("zh"), old)


def test_languages_of_the_pages_have_sentences_for_all_codes() -> None:
    for language in set(CATALOGS) - {"en"}:
        assert set(get_args(ReasonCode)) <= set(SENTENCES[language])
