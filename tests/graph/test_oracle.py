"""The plan against two oracles, over random histories: Dagster's own resolver, and a naive model of
the closure.

After every random edit: own causes are what Dagster calls stale (with what Dagster cannot see:
sources, and failed checks), everything below follows, and nothing else does. After a refresh
without failures nothing is left, and what was executed is what was planned, but for asset
partitions whose parents came out identical.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_assets.planning.asset_partitions import CauseKind, Plan, Status
from agent_assets.planning.history import INPUT_TAG
from agent_assets.store.tombstones import bury, revive
from support.fleet import NAMES, PARENTS, SHARED, Executed, Fleet, asset_partitions

ELDERS = ("ada", "ben")
TEXTS = ("a", "b", "a!", "A")  # "!" is lost in the first stage, the case in the second
Edit = tuple[str, str, object]
READS_SOURCE = ("base_model", "mcp_tool_schema", "elder_memories")
VISIBLE = (CauseKind.DATA, CauseKind.CODE, CauseKind.CONFIG)

elders = st.sampled_from(ELDERS)
stages = st.sampled_from(NAMES)
small = st.integers(0, 3)
edits = st.one_of(
    st.tuples(st.just("memories"), elders, st.sampled_from(TEXTS)),
    st.tuples(
        st.just("servers"),
        st.sampled_from(("lookup", "lookup!", "lookup and price", "prices")),
        st.none(),
    ),
    st.tuples(st.just("weights"), st.sampled_from(("w", "w!", "v")), st.none()),
    st.tuples(st.just("setting"), stages, small),
    st.tuples(st.just("code"), stages, small),
    st.tuples(st.just("presence"), elders, st.booleans()),
)
steps = st.lists(
    st.tuples(
        st.lists(edits, min_size=1, max_size=4), st.one_of(st.none(), st.tuples(stages, elders))
    ),
    min_size=2,
    max_size=4,
)

# Every kind of edit at least once, for every stage, whatever chance brings.
EVERYTHING: list[tuple[list[Edit], Executed | None]] = [
    *(([("setting", name, 2), ("memories", "ada", "b")], (name, "ben")) for name in NAMES),
    ([("code", name, 2) for name in ("questions", "train_jsonl", "eval_report")], None),
    ([("memories", "ben", "B"), ("presence", "ada", False)], None),
    ([("presence", "ada", True), ("servers", "prices", None)], ("mcp_tool_schema", "ada")),
    (
        [("memories", "ada", "a!"), ("weights", "v", None), ("code", "sft_adapter", 1)],
        ("train_jsonl", "ada"),
    ),
]


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps)
@example(EVERYTHING)
def test_the_plan_agrees_with_both_oracles(
    history: list[tuple[list[tuple[str, str, object]], Executed | None]],
) -> None:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with small_fleet() as fleet:
        fleet.refresh()
        for changes, failing in history:
            for kind, name, value in changes:
                apply(fleet, kind, name, value)
            compare(fleet, fleet.plan())
            failed_cell = failing and (failing[0], None if failing[0] in SHARED else failing[1])
            fleet.world.failing = {failed_cell} if failed_cell else set()
            fleet.refresh()
            compare(fleet, fleet.plan())
            fleet.world.failing = set()
            plan = fleet.plan()
            fleet.world.built.clear()
            executed = fleet.refresh()
            assert with_own_cause(plan) <= executed <= asset_partitions(plan)
            assert set(fleet.world.built) <= executed
            left = fleet.plan()
            assert left.asset_partitions == (), left.asset_partitions
            compare(fleet, left)


def apply(fleet: Fleet, kind: str, name: str, value: object) -> None:
    world = fleet.world
    if kind == "memories":
        if name in world.memories:
            world.memories[name] = str(value)
    elif kind == "servers":
        world.servers = name
    elif kind == "weights":
        world.weights = name
    elif kind == "setting":
        world.settings[name] = int(str(value))
    elif kind == "code":
        world.code[name] = int(str(value)) + 1
    elif value and name not in world.memories:
        revive(fleet.store, name)
        fleet.add(name, "a")
    elif not value and name in world.memories:
        bury(fleet.store, name)
        del world.memories[name]
        fleet.instance.delete_dynamic_partition("elders", name)


def compare(fleet: Fleet, plan: Plan) -> None:
    by_cell = {(entry.asset, entry.partition): entry for entry in plan.asset_partitions}
    stale = naive_closure(fleet, plan)
    assert set(by_cell) == stale, set(by_cell) ^ stale
    statuses = resolver_statuses(fleet)
    for entry, status in statuses.items():
        entry_of_plan = by_cell.get(entry)
        inputs = set(PARENTS[entry[0]])
        direct = entry_of_plan is not None and any(
            cause.kind in VISIBLE and (cause.input is None or cause.input in inputs)
            for cause in entry_of_plan.causes
        )
        removed_before = (
            entry_of_plan is not None
            and "added again after a removal; nothing is inherited"
            in [cause.detail for cause in entry_of_plan.causes]
        )
        if removed_before:
            continue  # what Dagster says here is the former elder's: the reason for tombstones
        if status is StaleStatus.MISSING:
            assert entry_of_plan is not None and entry_of_plan.status is Status.MISSING, entry
        else:
            assert direct == (status is StaleStatus.STALE), (entry, status, entry_of_plan)
            sources = {"weights", "servers", "mongodb"}
            says_source = entry_of_plan is not None and any(
                cause.input in sources for cause in entry_of_plan.causes
            )
            if entry[0] in READS_SOURCE:
                assert says_source == moved_source(fleet, entry), (entry, entry_of_plan)


def resolver_statuses(fleet: Fleet) -> dict[Executed, StaleStatus]:
    graph = AssetGraph.from_assets(fleet.assets())
    resolver = CachingStaleStatusResolver(
        fleet.instance, graph, LoadingContextForTest(fleet.instance)
    )
    pairs = [
        (name, elder) for name in NAMES for elder in ((None,) if name in SHARED else fleet.elders())
    ]
    return {
        (name, elder): resolver.get_status(fleet.spec.key(name), elder) for name, elder in pairs
    }


def with_own_cause(plan: Plan) -> set[Executed]:
    return {
        (entry.asset, entry.partition)
        for entry in plan.asset_partitions
        if any(cause.kind is not CauseKind.UPSTREAM for cause in entry.causes)
    }


def naive_closure(fleet: Fleet, plan: Plan) -> set[Executed]:
    """What has a cause of its own, and everything below it, by walking down the graph again and
    again.
    """
    closure = with_own_cause(plan)
    while True:
        more = {
            (name, elder)
            for name in NAMES
            for elder in ((None,) if name in SHARED else fleet.elders())
            if any(
                (parent, None if parent in SHARED else elder) in closure for parent in PARENTS[name]
            )
        }
        if more <= closure:
            return closure
        closure |= more


def moved_source(fleet: Fleet, entry: Executed) -> bool:
    """Whether an asset partition that reads a source recorded another version of it than the source
    has now.
    """
    name, elder = entry
    partitions = None if elder is None else [elder]
    key = fleet.spec.key(name)
    records = fleet.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=partitions), limit=1
    )
    materialization = records.records[0].asset_materialization
    assert materialization is not None and materialization.tags is not None
    current = fleet.world.source(name, elder)
    return any(
        materialization.tags[f"{INPUT_TAG}{source}"] != version
        for source, version in current.items()
    )


@contextmanager
def small_fleet() -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        fleet = Fleet(instance, Path(folder))
        for elder in ELDERS:
            fleet.add(elder, "a")
        yield fleet
