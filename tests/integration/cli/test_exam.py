"""`agent-assets exam` as it is typed, through a model with the agent's tools; and what is said of a
file that is wrong."""

import json
from pathlib import Path
from typing import Any

from support.command_line import agent_assets, error_of
from support.fake_openai import calls, fake_openai, says


def write(folder: Path, turns: list[dict[str, Any]]) -> str:
    path = folder / "ada.jsonl"
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8")
    return str(path)


def test_half_a_file_through_a_model_with_tools(tmp_path: Path) -> None:
    turns: list[dict[str, Any]] = [
        {"kind": "told", "question": "lng today?", "expect": ["2.49"], "half": "report"},
        {"kind": "told", "question": "left out", "expect": ["x"], "half": "develop"},
    ]
    prices = {"province": "Sichuan", "start_date": "2025-04-01", "end_date": "2025-04-01"}
    with fake_openai() as server:
        server.queue = [calls(("get_auction_price", prices)), says("It was 2.49.")]
        done = agent_assets(
            tmp_path,
            "exam",
            "energy_expert",
            write(tmp_path, turns),
            *("--half", "report", "--model", "m", "--base-url", server.url),
        )
    assert done.returncode == 0, done.stderr
    assert "told           1 of 1   1.00 [0.21, 1.00]" in done.stdout


def test_what_is_wrong_is_said_with_its_line(tmp_path: Path) -> None:
    hello = {"kind": "social", "question": "Hi."}
    file = write(tmp_path, [hello, hello, {"kind": "told", "question": "?"}])
    said = error_of(agent_assets(tmp_path, "exam", "energy_expert", file))
    assert "ada.jsonl, line 3: a turn of kind told needs evidence or expect" in said
    none = write(tmp_path, [hello])
    said = error_of(agent_assets(tmp_path, "exam", "energy_expert", none, "--half", "report"))
    assert "no turn of the half report" in said
