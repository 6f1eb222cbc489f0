"""Scenarios on the real servers of both pipelines: never what training or held-out items use."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.items import read_items
from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import TrainingDataError
from agent_assets.rl.config import RlConfig
from agent_assets.rl.scenarios.scenarios import (
    Scenario,
    hold_out,
    make_scenarios,
    schedule,
    unpadded_dates,
)
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from support.synthesis_runs import DEFS, SMALL, elder_folder, make, pipeline_config

CONFIG = RlConfig(scenarios_per_tool=8, steps=3, scenarios_per_step=4)
PLACES = ("mill", "harbor", "orchard", "forge", "school", "bridge", "market", "chapel")


@pytest.fixture(scope="module")
def memories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recorded = [
        Memory(
            f"m-{n:08d}",
            f"What do you remember of the {place}?",
            f"At the {place} I met Anna Berg in 19{40 + n}.",
        )
        for n, place in enumerate(PLACES)
    ]
    return elder_folder(
        tmp_path_factory.mktemp("elder") / "memories", ElderProfile("e1", "Ada"), recorded
    )


def scenarios(
    folder: Path, pipeline: str, memories: Path | None, config: RlConfig = CONFIG
) -> list[Scenario]:
    servers = pipeline_config(pipeline, memories)
    templates_file = DEFS / pipeline / "wordings.yaml"

    async def run() -> list[Scenario]:
        async with open_toolbox(servers) as toolbox:
            return await make_scenarios(
                config,
                questions_folder=folder / "questions",
                rows_folder=folder / "rows",
                memories_folder=memories,
                templates_file=templates_file,
                tools=toolbox.tools,
                toolbox=toolbox,
                questions=QuestionsConfig.model_validate(SMALL),
                rows=RowsConfig(),
                system_prompt=None if memories else "Use the tools.",
            )

    return asyncio.run(run())


def used(folder: Path) -> tuple[set[str], set[str], set[str]]:
    """Texts, trained calls and held-out calls (with arguments) of a train_jsonl folder."""
    texts, trained = set(), set()
    for line in (folder / "rows" / "train.jsonl").read_text(encoding="utf-8").splitlines():
        for message in from_swift(json.loads(line)).messages:
            texts |= {message.content} if message.role == "user" else set()
            trained |= {
                canonical_json([call.name, call.arguments])
                for call in message.tool_calls
                if call.arguments
            }
    items = read_items(folder / "rows" / "heldout.jsonl")
    heldout = {
        canonical_json([call["name"], call["arguments"]])
        for i in items
        for call in i.gold_calls
        if call["arguments"]
    }
    return texts | {item.question for item in items}, trained, heldout


def calls(scenario: Scenario) -> set[str]:
    return {
        canonical_json([call["name"], call["arguments"]])
        for call in scenario.item.gold_calls
        if call["arguments"]
    }


@pytest.mark.parametrize("pipeline", ["energy_expert", "elder_companion"])
def test_scenarios_share_nothing_with_training_or_heldout(
    tmp_path: Path, memories: Path, pipeline: str
) -> None:
    elder = memories if pipeline == "elder_companion" else None
    make(
        tmp_path,
        pipeline_config(pipeline, elder),
        templates_file=DEFS / pipeline / "wordings.yaml",
        memories=elder,
    )
    drawn = scenarios(tmp_path, pipeline, elder)
    texts, trained, heldout = used(tmp_path)
    assert len(drawn) >= 12 and len({scenario.item.question for scenario in drawn}) == len(drawn)
    assert not {scenario.item.question for scenario in drawn} & texts
    assert not set().union(*map(calls, drawn)) & heldout
    if elder is None:
        assert not set().union(*map(calls, drawn)) & trained
        assert all(scenario.item.gold_values for scenario in drawn)
    else:
        assert {"tool", "recall_open", "abstention"} == {scenario.item.kind for scenario in drawn}
    assert drawn == scenarios(tmp_path, pipeline, elder), "the same inputs make the same scenarios"
    assert (
        max(Counter(scenario.item.tool for scenario in drawn).values())
        <= 2 * CONFIG.scenarios_per_tool
    )


def test_scenarios_can_be_asked_with_dates_as_people_type_them_and_easy_ones_left_out(
    tmp_path: Path,
) -> None:
    make(
        tmp_path,
        pipeline_config("energy_expert", None),
        templates_file=DEFS / "energy_expert" / "wordings.yaml",
    )
    changed = {"unpadded_share": 1.0, "min_difficulty": 2, "heldout_scenarios": 6}
    drawn = scenarios(tmp_path, "energy_expert", None, CONFIG.model_copy(update=changed))
    assert drawn and all(scenario.difficulty >= 2 for scenario in drawn)
    for scenario in drawn:
        dates = [
            value
            for name, value in scenario.item.gold_calls[0]["arguments"].items()
            if name.endswith("_date")
        ]
        assert dates and all(unpadded_dates(value) in scenario.item.question for value in dates)
        assert not any(value in scenario.item.question for value in dates if "-0" in value)
    to_train, held_out = hold_out(drawn, 6, seed=1)
    assert len(held_out) == 6 and Counter(
        scenario.item.tool for scenario in held_out
    ) == dict.fromkeys({o.item.tool for o in held_out}, 2)
    assert to_train and not set().union(*map(calls, to_train)) & set().union(*map(calls, held_out))
    with pytest.raises(TrainingDataError, match="none is left to train on when 999 are held out"):
        hold_out(drawn, 999, seed=1)


def test_no_scenario_easy_enough_is_an_error_that_says_so(tmp_path: Path, memories: Path) -> None:
    servers, wordings = (
        pipeline_config("elder_companion", memories),
        DEFS / "elder_companion" / "wordings.yaml",
    )
    make(tmp_path, servers, templates_file=wordings, memories=memories)
    with pytest.raises(TrainingDataError, match="none of difficulty 1 to 1"):
        scenarios(
            tmp_path, "elder_companion", memories, CONFIG.model_copy(update={"max_difficulty": 1})
        )


def test_a_schedule_uses_every_scenario_before_any_again_and_can_start_with_the_easy_ones() -> None:
    def scenario(number: int, **changed: Any) -> Scenario:
        from agent_assets.conversations.items import EvalItem

        item = EvalItem(
            id=f"s{number}",
            kind="tool",
            wording="seen",
            language="en",
            question=f"q{number}",
            system="",
            tool="a" if number % 3 else "b",
        )
        return Scenario(item, 1 + number % 5)

    every = [scenario(number) for number in range(12)]
    plan = schedule(every, CONFIG)
    assert {scenario.item.id for step in plan for scenario in step} == {
        scenario.item.id for scenario in every
    }
    assert all({scenario.item.tool for scenario in step} == {"a", "b"} for step in plan[:2])
    easy = schedule(every, CONFIG.model_copy(update={"curriculum": "easy_first"}))
    levels = [scenario.difficulty for step in easy for scenario in step]
    assert levels == sorted(levels)
    assert schedule(every, CONFIG) == plan != schedule(every, CONFIG.model_copy(update={"seed": 7}))


def test_every_step_resembles_the_whole() -> None:
    """Of each tool's questions a third asks for ranges, and a quarter writes the day as the tool
    wants it.
    """

    def scenario(number: int) -> Scenario:
        from agent_assets.conversations.items import EvalItem

        tool, day = "ab"[number % 2], f"2025-03-{1 + number % 28:02d}"
        ranged, verbatim = number // 2 % 3 == 0, number // 6 % 4 == 0
        arguments = {"start": day} | ({"end": day} if ranged else {})
        item = EvalItem(
            id=f"s{number}",
            kind="tool",
            wording="seen",
            language="en",
            tool=tool,
            system="",
            question=f"On {day if verbatim else unpadded_dates(day)}?",
            gold_calls=[{"name": tool, "arguments": arguments}],
        )
        return Scenario(item, 3)

    plan = schedule([scenario(n) for n in range(96)], RlConfig(steps=4, scenarios_per_step=24))
    for step in plan:
        assert Counter(scenario.item.tool for scenario in step) == {"a": 12, "b": 12}
        ranges = sum("end" in scenario.item.gold_calls[0]["arguments"] for scenario in step)
        verbatim = sum(
            scenario.item.gold_calls[0]["arguments"]["start"] in scenario.item.question
            for scenario in step
        )
        assert 6 <= ranges <= 10 and 4 <= verbatim <= 8
