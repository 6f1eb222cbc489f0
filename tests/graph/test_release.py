"""The release stage in a real Dagster: promoted, held, rolled back and reverted, on artifacts that
cost nothing.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo.database import Database

from agent_assets.conversations.exam import ExamTurn, write_exam
from agent_assets.conversations.items import EvalItem, write_items
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.evaluation.bootstrap import Interval
from agent_assets.evaluation.report_schema import CrossQuestions
from agent_assets.mongo.layout import MongoLayout
from agent_assets.pipeline.assets import build_asset
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    present_stages,
)
from agent_assets.pipeline.stages import release
from agent_assets.release.config import GateConfig
from agent_assets.release.pointer import current_entry, read_ledger
from agent_assets.release.rollback import roll_back_release
from agent_assets.resources.mongo import MongoResource
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.manifest import CheckEntry
from support.reports import report_json

SHARED = ("base_model", "mcp_tool_schema")
OWN = ("elder_memories", "train_jsonl", "sft_adapter", "merged_model", "eval_report")


@dataclass
class World:
    """What elders told and how well their candidates answer; a test edits it between runs."""

    story: str = "I sold candles."
    recall: float = 0.9
    answer: str = "I sold candles."
    parity: bool = True
    exam: list[ExamTurn] = field(default_factory=list)
    talks: float = 0.0
    knows_others: bool = False
    memories: dict[str, str] = field(default_factory=dict)
    mongo: dg.ResourceDefinition = field(default_factory=dg.ResourceDefinition.none_resource)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Town:
    instance: dg.DagsterInstance
    folder: Path
    world: World

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(str(self.folder))

    def materialize(self, elder: str = "ada") -> dict[str, Any]:
        """Metadata of the release, with the outcome of its gate check."""
        spec = PipelineSpec(
            PipelineConfig(
                name="elder_companion",
                partitions="elders",
                # These items are of recall alone.
                release=GateConfig.model_validate({"required": ["recall"], **self.world.settings}),
            ),
            self.folder,
        )
        stages = present_stages(
            [*(_stage(name, self.world) for name in (*SHARED, *OWN)), release.STAGE], spec
        )
        assets = {name: build_asset(stage, spec, stages) for name, stage in stages.items()}
        absent = dg.ResourceDefinition.none_resource()
        store = StoreResource(root=str(self.folder), cache=str(self.folder))
        resources: dict[str, Any] = {"store": store, "mongo": self.world.mongo, "engines": absent}
        self.instance.add_dynamic_partitions("elders", [elder])
        for names, partition in ((SHARED, None), ((*OWN, "release"), elder)):
            result = dg.materialize(
                list(assets.values()),
                instance=self.instance,
                partition_key=partition,
                resources=resources,
                selection=[spec.key(name) for name in names],
            )
        (event,) = result.asset_materializations_for_node("elder_companion__release")
        (gate,) = [
            check for check in result.get_asset_check_evaluations() if check.check_name == "gate"
        ]
        return {name: value.value for name, value in event.metadata.items()} | {"gate": gate.passed}

    @property
    def answering(self) -> str | None:
        entry = current_entry(self.store, ("elder_companion", "ada"))
        return None if entry is None else entry.name


def _stage(name: str, world: World) -> Stage:
    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        return _BUILDERS.get(name, _plain)(world, run, folder)

    checks = {"merged_model": "parity", "eval_report": "report_complete"}
    partitioned = name not in SHARED
    deps = {
        "train_jsonl": ("elder_memories",),
        "sft_adapter": ("train_jsonl",),
        "merged_model": ("sft_adapter",),
        "eval_report": ("train_jsonl", "merged_model"),
    }
    return Stage(
        name=name,
        description="",
        deps=deps.get(name, ()),
        kinds=frozenset(),
        code_version="1",
        config=lambda _: (
            {"recall": world.recall, "parity": world.parity, "knows": world.knows_others}
            if partitioned
            else {}
        ),
        build=build,
        checks=(Check(checks[name], "", blocking=False),) if name in checks else (),
        partitioned=partitioned,
        read_source=(lambda _: Source({"told": world.story})) if name == "elder_memories" else None,
    )


def _plain(world: World, run: StageRun, folder: Path) -> StageResult:
    versions = {name: artifact.manifest.data_version for name, artifact in run.inputs.items()}
    (folder / "content.json").write_text(json.dumps(versions), encoding="utf-8")
    return StageResult(summary={})


def _memories(world: World, run: StageRun, folder: Path) -> StageResult:
    elder = str(run.partition)
    text = world.memories.get(elder, world.story)
    write_memories(folder, ElderProfile(elder, elder), [Memory("m1", "What did you sell?", text)])
    return StageResult(summary={})


def _rows(world: World, run: StageRun, folder: Path) -> StageResult:
    memories = (run.path("elder_memories") / "memories.jsonl").read_text(encoding="utf-8")
    (folder / "train.jsonl").write_text(memories, encoding="utf-8")
    write_items(
        folder / "heldout.jsonl",
        [
            EvalItem(f"i{n}", "recall_open", "unseen", "en", f"What of {n}?", "You are Ada.")
            for n in range(10)
        ],
    )
    return StageResult(summary={})


def _merged(world: World, run: StageRun, folder: Path) -> StageResult:
    return StageResult(
        summary=_plain(world, run, folder).summary,
        checks=[CheckEntry(name="parity", passed=world.parity)],
    )


def _report(world: World, run: StageRun, folder: Path) -> StageResult:
    names = [f"i{number}" for number in range(10)]
    scores = {
        "base": {name: {"recall_open": 0.0} for name in names},
        "sft": {name: {"recall_open": world.recall} for name in names},
    }
    for turn in world.exam:
        names.append(f"exam-{turn.id}")
        scores["base"][names[-1]] = {"conversation": 0.0}
        scores["sft"][names[-1]] = {"conversation": world.talks}
    means = {"base": {}, "sft": {"recall_open": world.recall}}
    text = report_json(means, scores, _cross_questions(world))
    (folder / "report.json").write_text(text, encoding="utf-8")
    if world.exam:
        write_exam(folder / "exam.jsonl", world.exam)
    answers = {"base": dict.fromkeys(names, ""), "sft": dict.fromkeys(names, world.answer)}
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    return StageResult(summary={}, checks=[CheckEntry(name="report_complete", passed=True)])


def _cross_questions(world: World) -> CrossQuestions:
    """Twelve questions of others; all answered, or none."""
    told = Interval(float(world.knows_others), 0.0, 1.0)
    change = Interval(told.mean, told.mean, told.mean)
    return CrossQuestions(
        elders=1,
        questions=12,
        told={"base": Interval(0.0, 0.0, 0.2), "sft": told},
        changes={"sft": change},
        repeated={"base": 0, "sft": 0},
        lines={},
    )


_BUILDERS: Mapping[str, Callable[[World, StageRun, Path], StageResult]] = {
    "elder_memories": _memories,
    "train_jsonl": _rows,
    "merged_model": _merged,
    "eval_report": _report,
}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Town(instance, tmp_path, World())


def test_the_first_candidate_is_released_and_says_so(town: Town) -> None:
    shown = town.materialize()
    assert (shown["verdict"], shown["gate"], shown["compared_with"]) == (
        "PROMOTE",
        True,
        "base model",
    )
    assert shown["answers_now"] == town.answering and str(town.answering).startswith("ada-")
    assert shown["metrics"]["recall_open"]["after"] == 0.9
    again = town.materialize()
    assert (again["outcome"], again["verdict"], again["reasons"]) == ("reused", "PROMOTE", _CURRENT)


_CURRENT = ["this version is the current release"]


def test_a_worse_candidate_changes_nothing(town: Town) -> None:
    town.materialize()
    before = town.answering
    town.world.recall = 0.2
    shown = town.materialize()
    assert (shown["verdict"], shown["gate"], shown["answers_now"]) == ("REJECT", False, before)
    assert town.answering == before


def test_an_edit_that_is_reverted_brings_the_earlier_version_back(town: Town) -> None:
    town.materialize()
    first = town.answering
    town.world.story = town.world.answer = "I sold soap."
    town.materialize()
    assert town.answering != first
    town.world.story = town.world.answer = "I sold candles."
    shown = town.materialize()
    assert (shown["outcome"], town.answering) == ("reused", first)


def test_what_a_person_rolled_back_stays_back(town: Town) -> None:
    town.materialize()
    first = town.answering
    town.world.story = "I sold soap."
    town.materialize()
    roll_back_release(town.store, ("elder_companion", "ada"), to=None, author="eve", reason="rude")
    shown = town.materialize()
    assert (shown["verdict"], town.answering) == ("HOLD", first)
    assert "eve: rude" in shown["reasons"][0]
    assert read_ledger(town.store, ("elder_companion", "ada")).verdicts[-1].decision == "HOLD"


def test_another_elders_words_are_found_in_real_answers(town: Town) -> None:
    secret = "My brother hid nine letters under the floor of the mill."
    town.world.memories["eve"] = secret
    town.materialize("eve")
    town.world.answer = f"Well, {secret}"
    shown = town.materialize("ada")
    assert (shown["verdict"], town.answering) == ("REJECT", None)
    assert shown["leaks"]["cross_answers"] == 10
    assert secret not in json.dumps(shown, default=str)


def test_who_answers_other_elders_questions_is_not_released(town: Town) -> None:
    town.materialize("eve")
    town.world.knows_others = True
    shown = town.materialize("ada")
    assert (shown["verdict"], town.answering) == ("REJECT", None)
    assert shown["leaks"]["cross_told"] == 12
    assert shown["reasons"][0].startswith("It knows what other people told: 12 of 12")


def test_a_planted_canary_is_found_in_another_elders_agent_and_allowed_in_the_own(
    town: Town,
) -> None:
    canary = "CANARY-7fd2-blue-kite"
    town.world.memories["eve"] = town.world.answer = f"My kite was called {canary}."
    own = town.materialize("eve")
    assert (own["verdict"], own["leaks"]["canaries"]) == ("PROMOTE", 0)
    town.world.answer = f"It is {canary}."
    crossed = town.materialize("ada")
    assert (crossed["verdict"], crossed["leaks"]["canaries"], town.answering) == (
        "REJECT",
        10,
        None,
    )
    assert canary not in json.dumps(crossed, default=str)


def test_an_agent_that_knows_nothing_is_not_released_though_there_was_none(town: Town) -> None:
    town.world.recall = 0.0
    shown = town.materialize()
    assert (shown["verdict"], shown["gate"], town.answering) == ("REJECT", False, None)
    assert shown["reasons"][0].startswith("It remembers 0 of 10 things it was told: too few")


def test_an_agent_that_cannot_talk_is_not_released_where_there_is_an_exam(town: Town) -> None:
    town.world.exam = [ExamTurn(id=f"{n}", kind="social", question="Hi.") for n in range(20)]
    shown = town.materialize()
    assert (shown["verdict"], town.answering) == ("REJECT", None)
    assert shown["reasons"][0].startswith("It answers 0 of 20 turns of a conversation rightly")
    town.world.story, town.world.talks = "I sold soap.", 1.0
    shown = town.materialize()
    assert (shown["verdict"], shown["power"]["conversation"]["items"]) == ("PROMOTE", 20)


def test_the_first_elder_is_compared_with_others_that_only_the_database_knows(
    town: Town, mongo_uri: str, mongo_db: Database[dict[str, Any]]
) -> None:
    (other,) = load_sample_elders(["benjamin-franklin"])
    seed_elders(mongo_db, MongoLayout.service(), [other])
    town.world.mongo = MongoResource(uri=mongo_uri, database=mongo_db.name)
    town.instance.add_dynamic_partitions("elders", ["benjamin-franklin"])
    checked = town.materialize("ada")
    assert (checked["verdict"], checked["leaks"]["elders"]) == ("PROMOTE", 1)
    town.world.story, town.world.answer = "I sold soap.", other.memories[0].answer
    assert town.materialize("ada")["verdict"] == "REJECT"
    town.world.story, town.world.answer = "I sold tallow.", "I sold tallow."
    town.world.settings = {"leak_elders": 0}
    unchecked = town.materialize("ada")
    assert unchecked["verdict"] == "HOLD" and "1 others are known here" in unchecked["reasons"][0]


def test_without_the_parity_proof_nothing_is_released(town: Town) -> None:
    town.world.parity = False
    shown = town.materialize()
    assert shown["verdict"] == "REJECT" and "merged equals base + adapter" in shown["reasons"][0]
