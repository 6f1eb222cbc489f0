"""Scenarios as a file, and their counts for the UI."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from agent_assets.conversations.messages import (
    canonical_json,
)
from agent_assets.rl.scenarios.scenarios import Scenario


def write_scenarios(path: Path, scenarios: Iterable[Scenario]) -> None:
    """Write scenarios as canonical JSON lines."""
    lines = [
        canonical_json({"difficulty": scenario.difficulty, "item": asdict(scenario.item)})
        for scenario in scenarios
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def summary(scenarios: Sequence[Scenario]) -> dict[str, object]:
    """Counts for the UI."""
    return {
        "scenarios": len(scenarios),
        "by_tool": dict(
            sorted(Counter(scenario.item.tool or "none" for scenario in scenarios).items())
        ),
        "by_difficulty": {
            str(key): n
            for key, n in sorted(Counter(scenario.difficulty for scenario in scenarios).items())
        },
    }
