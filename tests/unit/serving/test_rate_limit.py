"""The limit of requests per caller."""

import pytest

from agent_assets.serving import guard


def test_who_asks_too_fast_still_gets_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limit = guard.RateLimit(per_minute=60)
    assert all(limit.take("a") for _ in range(60)) and not limit.take("a")
    assert limit.take("b")
    granted = 0
    for _ in range(200):  # twenty a second for ten seconds
        now += 0.05
        granted += limit.take("a")
    assert granted in (9, 10)
