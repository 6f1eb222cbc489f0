"""`agent-assets exam` through `/chat` of a running API."""

import json
from pathlib import Path
from typing import Any

from support.command_line import agent_assets
from support.serving_world import World

TURNS: list[dict[str, Any]] = [
    {
        "id": "a",
        "kind": "told",
        "question": "what was your trade",
        "evidence": ["m1"],
        "expect": ["candles"],
        "half": "develop",
    },
    {"id": "b", "kind": "never", "question": "And your dog's name?", "half": "develop"},
    {
        "id": "c",
        "kind": "social",
        "question": "Good night!",
        "history": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}],
        "half": "report",
    },
]


def test_an_exam_goes_through_chat_and_says_what_was_wrong(world: World, tmp_path: Path) -> None:
    """The agent says the same to everything: right where candles were asked for."""
    file = tmp_path / "ada.jsonl"
    file.write_text("".join(json.dumps(turn) + "\n" for turn in TURNS), encoding="utf-8")
    world.model.always = "I sold candles in Boston. [m1]"
    done = agent_assets(
        world.settings.home,
        "exam",
        "elder_companion/ada",
        str(file),
        "--json",
        "--api",
        str(world.client.base_url).rstrip("/"),
        AGENT_ASSETS_STORE=world.settings.store,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "3 turns of ada.jsonl, through http://127.0.0.1:" in lines[0]
    assert lines[1] == "b (never): it does not say that it was never told"
    assert lines[2:5] == [
        "  asked     And your dog's name?",
        "  answered  I sold candles in Boston. [m1]",
        "  expected  that it was never told",
    ]
    found = json.loads(lines[-1])
    assert found["kinds"]["told"] == {
        "right": 1,
        "items": 1,
        "share": 1.0,
        "low": 0.2065,
        "high": 1.0,
    }
    assert (found["kinds"]["all"]["right"], found["misses"]) == (1, ["b", "c"])
    asked = [request["messages"] for request in world.model.requests]
    assert ["You are ada.", "Hi.", "Hello.", "Good night!"] in [
        [message["content"] for message in messages] for messages in asked
    ]
