"""The parts of planning on their own: words, templates, requests, settings."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_assets.automation.config import load_automation
from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import ToolSchema
from agent_assets.errors import ConfigError
from agent_assets.planning.asset_partitions import (
    AssetPartition,
    Cause,
    CauseKind,
    Plan,
    PlannedRun,
    Status,
)
from agent_assets.planning.changes import memory_changes, tool_changes
from agent_assets.planning.elders import ChangeTokens, ElderContent, check_elders
from agent_assets.planning.fingerprint import FingerprintTemplate, fingerprint, source_version
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.render import plan_json, plan_text
from agent_assets.planning.requests import Requests, choose_requests

words = st.text(max_size=8)
ADA = ElderProfile("ada", "Ada")


@given(
    words,
    st.one_of(st.none(), words),
    st.dictionaries(words, words),
    st.dictionaries(words, words),
    st.integers(0, 2),
)
def test_a_template_gives_the_same_fingerprint(
    asset: str,
    partition: str | None,
    inputs: dict[str, str],
    config: dict[str, str],
    incarnation: int,
) -> None:
    template = FingerprintTemplate(asset=asset, code_version="1", config=config)
    assert template.fingerprint(partition, inputs, incarnation) == fingerprint(
        asset=asset,
        partition=partition,
        code_version="1",
        inputs=inputs,
        config=config,
        incarnation=incarnation,
    )


def test_long_digests_fit_into_a_tag() -> None:
    assert source_version("a" * 32) == "a" * 32
    assert len(source_version("a" * 64)) == 32 and source_version("a" * 64) != source_version(
        "b" * 64
    )


def memory(name: str, answer: str = "text", updated_at: str = "") -> Memory:
    return Memory(memory_id=name, question="?", answer=answer, updated_at=updated_at)


@pytest.mark.parametrize(
    ("after", "profile", "expected"),
    [
        (
            [memory("a"), memory("b"), memory("c"), memory("d", "other")],
            ADA,
            "2 memories added, 1 edited",
        ),
        ([memory("a", updated_at="2026")], ADA, "1 memory removed"),
        ([memory("a"), memory("d"), memory("x")], ADA, "1 memory added"),
        ([memory("a"), memory("d")], replace(ADA, name="Ada L."), "profile changed"),
    ],
)
def test_memories_in_words(after: list[Memory], profile: ElderProfile, expected: str) -> None:
    before = [memory("a"), memory("d")]
    assert memory_changes(before, after, old_profile=ADA, new_profile=profile) == expected


def tool(name: str, description: str = "", **parameters: str) -> ToolSchema:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in parameters.items()},
    }
    return ToolSchema(name=name, description=description, parameters=schema)


def test_tools_in_words() -> None:
    old = [tool("get_lng_price", date="string"), tool("gone")]
    new = [tool("get_lng_price", "Price.", date="integer", unit="string"), tool("added")]
    assert tool_changes(old, new) == (
        "tool `added` added; tool `gone` removed; tool `get_lng_price` gained parameter `unit`; "
        "tool `get_lng_price` changed parameter `date`; tool `get_lng_price` changed its "
        "description"
    )
    many = [tool(f"tool_{number}") for number in range(9)]
    assert tool_changes([], many).endswith("tool `tool_4` added; 4 more changes")


def planned(elder: str | None, target: str = "w", **more: Any) -> PlannedRun:
    values: dict[str, Any] = {
        "pipeline": "p",
        "partition": elder,
        "assets": ("a", "b"),
        "own_assets": ("a", "b"),
        "target_digest": target,
    }
    usual = {"base_event_id": 1, "gpu": False, "waits": False, "new": False}
    return PlannedRun(**(values | usual | more))


def plan_of(*runs: PlannedRun, asset_partitions: tuple[AssetPartition, ...] = ()) -> Plan:
    return Plan(asset_partitions, runs, (), fresh=0)


@pytest.fixture
def index(tmp_path: Path) -> PlanIndex:
    return PlanIndex(tmp_path)


def choose(plan: Plan, index: PlanIndex, *, lost: bool = False, **more: Any) -> Requests:
    """`choose_requests` where every request became a run, or none did."""
    return choose_requests(plan, index, started=lambda keys: set() if lost else set(keys), **more)


def test_a_request_that_nobody_heard_is_repeated_with_the_same_key(index: PlanIndex) -> None:
    plan = plan_of(planned("ada"))
    (first,) = choose(plan, index, active=[], now=0, cap=9).chosen
    assert choose(plan, index, active=[], now=100, cap=9, lost=True).waiting == {"asked": 1}
    (second,) = choose(plan, index, active=[], now=1000, cap=9, lost=True).chosen
    assert second.run_key == first.run_key
    assert choose(plan, index, active=[], now=2000, cap=9).waiting == {"tried": 1}


def test_two_ticks_at_one_moment_never_choose_the_same(index: PlanIndex) -> None:
    plan = plan_of(*(planned(f"elder-{number}") for number in range(50)))
    with ThreadPoolExecutor(4) as pool:
        ticks = list(pool.map(lambda _: choose(plan, index, active=[], now=0, cap=20), range(4)))
    chosen = [request.run.partition for tick in ticks for request in tick.chosen]
    assert len(chosen) == len(set(chosen)) == 50


def test_active_agents_and_repeated_wishes_wait(index: PlanIndex) -> None:
    plan = plan_of(planned("ada"), planned("ben"), planned("cem"))
    first = choose(plan, index, active=[("p", "ben")], now=0, cap=1)
    assert [request.run.partition for request in first.chosen] == ["ada"]
    assert first.waiting == {"running": 1, "cap": 1}
    second = choose(plan, index, active=[], now=1000, cap=9)
    assert [request.run.partition for request in second.chosen] == ["ben", "cem"]
    assert second.waiting == {"tried": 1}
    night = choose(plan, index, active=[], now=9000, cap=9, new_round="2026-01-06")
    assert len(night.chosen) == 3
    keys = {request.run_key for requests in (first, second, night) for request in requests.chosen}
    assert len(keys) == 6


def test_another_wish_is_asked_for(index: PlanIndex) -> None:
    choose(plan_of(planned("ada", "one")), index, active=[], now=0, cap=9)
    requests = choose(plan_of(planned("ada", "two")), index, active=[], now=1000, cap=9)
    assert [request.run.target_digest for request in requests.chosen] == ["two"]


def test_elders_wait_for_shared_assets_and_go_on_without_them(index: PlanIndex) -> None:
    stale = AssetPartition(
        "p", "tools", None, Status.STALE, (Cause(CauseKind.DATA, "servers", "tools changed"),)
    )
    shared = planned(None, assets=("tools",), own_assets=("tools",))
    plan = plan_of(
        shared,
        planned("ada", waits=True, own_assets=("b",)),
        planned("ben", waits=True, own_assets=()),
    )
    plan = replace(plan, asset_partitions=(stale,))
    first = choose(plan, index, active=[], now=0, cap=9)
    assert [r.run.partition for r in first.chosen] == [None] and first.chosen[0].priority == 2
    assert choose(plan, index, active=[("p", None)], now=1000, cap=9).chosen == ()
    failed = choose(plan, index, active=[], now=2000, cap=9)
    assert [(r.run.partition, r.assets) for r in failed.chosen] == [("ada", ("b",))]
    missing = replace(plan, asset_partitions=(replace(stale, status=Status.MISSING),))
    assert choose(missing, index, active=[], now=9000, cap=9).chosen == ()


class Source:
    """Elders in memory; counts what is read."""

    scope = "test"

    def __init__(self) -> None:
        self.content = {f"elder-{number}": "v0" for number in range(450)}
        self.marked = dict(self.content)
        self.read: list[str] = []

    def change_tokens(self) -> ChangeTokens:
        return ChangeTokens(
            {name: self.marked.get(name, text) for name, text in self.content.items()}, {}
        )

    def checksums(self) -> dict[str, str]:
        return dict(self.content)

    def answering(self, questions: Iterable[str]) -> set[str]:
        return set()

    def contents(self, elders: Iterable[str]) -> Iterator[ElderContent]:
        for name in elders:
            self.read.append(name)
            yield ElderContent(name, self.content[name])


def test_a_check_that_runs_out_of_time_goes_on_where_it_stopped(index: PlanIndex) -> None:
    source = Source()
    for expected in (200, 400, 450):
        elders = check_elders(source, index, now=0, budget_s=0)
        assert len(elders.digests) == expected and len(elders.unread) == 450 - expected
    assert len(source.read) == 450
    source.content["elder-7"] = "v1"  # nobody moved the mark
    assert check_elders(source, index, now=1).read == 0
    assert check_elders(source, index, now=1, full=True).digests["elder-7"] == "v1"
    del source.content["elder-7"]
    assert check_elders(source, index, now=2).gone == {"elder-7": 2.0}
    assert check_elders(source, index, now=-50).gone == {"elder-7": -50}


def test_a_check_writes_only_what_changed(index: PlanIndex) -> None:
    source = Source()
    check_elders(source, index, now=0, full=True)
    with closing(sqlite3.connect(index.path)) as other:

        def written() -> int:
            return int(other.execute("PRAGMA data_version").fetchone()[0])

        before = written()
        check_elders(source, index, now=1, full=True)
        assert written() == before
        changes: list[Callable[[str], object]] = [
            source.content.pop,
            lambda name: source.content.update({name: "new"}),
        ]
        for number, change in enumerate(changes):
            change("elder-7")
            check_elders(source, index, now=2 + number)
            assert written() > before
            before = written()
            assert check_elders(source, index, now=2 + number).read == 0
            assert written() == before


def test_an_index_of_another_release_is_made_anew(tmp_path: Path) -> None:
    index = PlanIndex(tmp_path)
    with index.open() as connection:
        connection.execute("INSERT INTO meta VALUES ('round', 'x')")
        connection.execute("PRAGMA user_version = 999")
    with PlanIndex(tmp_path).open() as connection:
        assert connection.execute("SELECT * FROM meta").fetchall() == []


def test_the_plan_as_json_and_text() -> None:
    causes = (
        Cause(CauseKind.DATA, "mongodb", "1 memory added"),
        Cause(CauseKind.UPSTREAM, "x", "upstream x will change"),
    )
    plan = plan_of(
        planned("ada"), asset_partitions=(AssetPartition("p", "a", "ada", Status.STALE, causes),)
    )
    content = plan_json(plan, seconds=1.23456, with_fresh=False, problems=[], set_aside={})
    assert json.loads(json.dumps(content))["cells"] == [
        {
            "pipeline": "p",
            "asset": "a",
            "partition": "ada",
            "status": "stale",
            "causes": [
                {"kind": "data", "input": "mongodb", "detail": "1 memory added"},
                {"kind": "upstream", "input": "x", "detail": "upstream x will change"},
            ],
        }
    ]
    assert content["seconds"] == 1.235
    assert plan_text(plan)[-1] == "  p for ada: a, b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nightly: {cron: every day}", "is not a cron expression"),
        ("nightly: {timezone: Mars}", "is not a time zone"),
        ("watch: {debounce: 5}", "did you mean 'debounce_s'"),
        ("watch: [", "is not valid YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "automation.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected):
        load_automation(path)
    assert load_automation().nightly.cron == "0 2 * * *"
