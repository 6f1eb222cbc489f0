"""The paired bootstrap: right where the answer is known, honest about noise, repeatable."""

import random

import pytest

from agent_assets.evaluation.bootstrap import paired_bootstrap


def test_interval_agrees_with_the_normal_approximation() -> None:
    draw = random.Random(7)
    first = [float(draw.random() < 0.4) for _ in range(400)]
    second = [float(draw.random() < 0.6) for _ in range(400)]
    differences = [b - a for a, b in zip(first, second, strict=True)]
    mean = sum(differences) / 400
    error = (sum((d - mean) ** 2 for d in differences) / 400 / 400) ** 0.5
    interval = paired_bootstrap(first, second, seed=1)
    assert interval is not None
    assert interval.mean == pytest.approx(mean)
    assert interval.low == pytest.approx(mean - 1.96 * error, abs=0.01)
    assert interval.high == pytest.approx(mean + 1.96 * error, abs=0.01)
    assert interval.excludes_zero


def test_pairing_narrows_the_interval_when_systems_agree_on_most_items() -> None:
    first = [float(n % 2) for n in range(200)]
    second = [1.0] * 20 + first[20:]
    paired = paired_bootstrap(first, second, seed=1)
    shuffled = paired_bootstrap(first, random.Random(1).sample(second, 200), seed=1)
    assert paired is not None and shuffled is not None
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 2


def test_same_seed_same_interval_and_no_items_no_interval() -> None:
    first, second = [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]
    assert paired_bootstrap(first, second, seed=3) == paired_bootstrap(first, second, seed=3)
    interval = paired_bootstrap(first, second, seed=3)
    assert interval is not None and not interval.excludes_zero
    assert paired_bootstrap([], [], seed=3) is None
    with pytest.raises(ValueError, match="4 and 1"):
        paired_bootstrap(first, [1.0], seed=3)
