"""Which of the planned runs are asked for now: each at most once, shared assets first, no more than
a tick can take.

A request is remembered with what it wanted and in which round. The same wish is not repeated in the
same round once a run came of it: a run that fails every time is tried once per change and once per
night, and a request that was lost (a tick that was cut short) is repeated. When the wish is
fulfilled it is forgotten.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from agent_assets.planning.asset_partitions import Plan, PlannedRun, Status
from agent_assets.planning.index import PlanIndex

# Between asking Dagster for a run and the run being there another tick must not ask again.
_LAUNCH_SECONDS = 300.0

AgentPartition = tuple[str, str | None]  # pipeline, elder


@dataclass(frozen=True)
class Request:
    """A run to start."""

    run: PlannedRun
    assets: tuple[str, ...]
    run_key: str
    priority: int


@dataclass(frozen=True)
class Requests:
    """What to start now, and why the rest of the plan waits (counts by reason)."""

    chosen: tuple[Request, ...]
    waiting: Mapping[str, int]


@dataclass(frozen=True)
class _Request:
    target_digest: str
    round: str
    run_key: str
    requested_at: float


def choose_requests(
    plan: Plan,
    index: PlanIndex,
    *,
    active: Iterable[AgentPartition],
    started: Callable[[Collection[str]], set[str]],
    now: float,
    cap: int,
    new_round: str | None = None,
) -> Requests:
    """Choose runs and record that they were asked for, in one transaction: two ticks at once never
    choose the same.

    Args:
        active: agents with a run that is queued or going on; (pipeline, None) stands for its shared
            assets.
        started: of these run keys, those that a run was made for.
        now: seconds since 1970.
        cap: start no more than this; the rest is left to the next tick.
        new_round: begin this round (a night): what failed in an earlier one is tried again. None
            goes on with the last.
    """
    busy = set(active)
    waiting: Counter[str] = Counter()
    chosen: list[Request] = []
    blocked = {
        entry.pipeline
        for entry in plan.asset_partitions
        if entry.partition is None and entry.status is Status.MISSING
    }  # pipelines whose elders cannot be made yet
    with index.open() as connection:
        number = _round(connection, new_round)
        requests = _load(connection)
        _forget_fulfilled(connection, requests, plan)
        _forget_lost(requests, started, now)
        shared_tried = set()
        for run in plan.runs:  # shared assets come before the elders of their pipeline
            agent = (run.pipeline, run.partition)
            reason = _reason(requests.get(agent), run, agent in busy, number, now)
            assets = run.assets
            if run.partition is None and reason == "tried":
                shared_tried.add(run.pipeline)
            if reason is None and run.waits:
                if run.pipeline in shared_tried and run.pipeline not in blocked:
                    assets = (
                        run.own_assets
                    )  # the shared assets cannot be renewed: go on with those there are
                    reason = None if assets else "shared"
                else:
                    reason = "shared"
            if reason is None and len(chosen) >= cap:
                reason = "cap"
            if reason is not None:
                waiting[reason] += 1
                continue
            chosen.append(_request(run, assets, number))
            _record(connection, chosen[-1], number, now)
    return Requests(tuple(chosen), dict(waiting))


def _reason(
    request: _Request | None, run: PlannedRun, busy: bool, number: str, now: float
) -> str | None:
    """Why a run is not asked for: "running", "asked" a moment ago, or "tried" without success in
    this round.
    """
    if busy:
        return "running"
    if request is None:
        return None
    if abs(now - request.requested_at) < _LAUNCH_SECONDS:
        return "asked"
    if request.target_digest == run.target_digest and request.round == number:
        return "tried"
    return None


def _request(run: PlannedRun, assets: tuple[str, ...], number: str) -> Request:
    """The key names what is wanted, where it starts from, and the round: the same wish at another
    time is another.
    """
    key = f"{run.pipeline}-{run.partition or '_'}-{run.target_digest}-{run.base_event_id}-{number}"
    shared, new = run.partition is None, run.new
    return Request(run, assets, key, priority=2 if shared else 1 if new else 0)


def _round(connection: sqlite3.Connection, new_round: str | None) -> str:
    if new_round is not None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('round', ?)", (new_round,))
        return new_round
    row = connection.execute("SELECT value FROM meta WHERE name = 'round'").fetchone()
    return str(row[0]) if row else "first"


def _load(connection: sqlite3.Connection) -> dict[AgentPartition, _Request]:
    rows = connection.execute(
        "SELECT pipeline, partition, wanted, round, run_key, requested_at FROM requests"
    )
    return {
        (pipeline, partition or None): _Request(*columns)
        for pipeline, partition, *columns in rows.fetchall()
    }


def _record(connection: sqlite3.Connection, request: Request, number: str, now: float) -> None:
    run = request.run
    row = (run.pipeline, run.partition or "", run.target_digest, number, request.run_key, now)
    connection.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?)", row)


def _forget_fulfilled(
    connection: sqlite3.Connection, requests: dict[AgentPartition, _Request], plan: Plan
) -> None:
    """An agent that is fresh may want the same again later, after a wiped store for example."""
    pending = {(run.pipeline, run.partition) for run in plan.runs}
    planned = {pipeline.name for pipeline in plan.pipelines}
    for agent in [agent for agent in requests if agent not in pending and agent[0] in planned]:
        del requests[agent]
        connection.execute(
            "DELETE FROM requests WHERE pipeline = ? AND partition = ?", (agent[0], agent[1] or "")
        )


def _forget_lost(
    requests: dict[AgentPartition, _Request],
    started: Callable[[Collection[str]], set[str]],
    now: float,
) -> None:
    """A request without a run, although there was time to start one, was never heard."""
    due = {
        agent: request.run_key
        for agent, request in requests.items()
        if abs(now - request.requested_at) >= _LAUNCH_SECONDS
    }
    heard = started(due.values()) if due else set()
    for agent, key in due.items():
        if key not in heard:
            del requests[agent]
