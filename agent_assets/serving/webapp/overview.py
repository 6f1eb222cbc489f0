"""What is known of all agents, looked up behind the pages: a page never waits for a plan."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent_assets.errors import AgentAssetsError
from agent_assets.planning.asset_partitions import Cause, CauseKind, Plan
from agent_assets.serving.jobs import Jobs
from agent_assets.serving.webapp.sources import OpenInstallation

AgentKey = tuple[str, str]  # id of an elder or a pipeline, pipeline
_OLD_SECONDS = 30.0
_SHARED_AGE_SECONDS = 900.0
_END_SECONDS = 10.0
_DESCRIBED = 100  # stale elders whose memories are compared one by one


@dataclass(frozen=True)
class LastPlan:
    """The last look.

    Args:
        at: when, seconds since 1970.
        agents: name by agent, sorted by name.
        stale: why, by agent; an agent that was never built is in `never`, too.
        never: agents of which nothing was ever built.
        shared: why what all agents of a pipeline share is stale, by pipeline.
        problems: sources that could not be read, in words.
    """

    at: float
    agents: Mapping[AgentKey, str] = field(default_factory=dict)
    stale: Mapping[AgentKey, tuple[Cause, ...]] = field(default_factory=dict)
    never: frozenset[AgentKey] = frozenset()
    shared: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class LastLook:
    """Looks again behind whoever asks, when the last look is old.

    Args:
        jobs: whose Dagster instance is read.
    """

    def __init__(self, installation: OpenInstallation, jobs: Jobs) -> None:
        self._installation, self._jobs = installation, jobs
        self._overview: LastPlan | None = None
        self._looking = threading.Lock()
        self._stale = False
        self._closed = False

    def latest(self) -> LastPlan | None:
        """What the last look found, None before the first; a new one begins when that is old."""
        last = self._overview
        # An age below zero: the clock was set back.
        if last is None or self._stale or not 0 <= time.time() - last.at <= _OLD_SECONDS:
            self._begin()
        return last

    def changed(self) -> None:
        """Something was changed here: the next reader begins a new look."""
        self._stale = True

    @property
    def looking(self) -> bool:
        """Whether a look goes on."""
        return self._looking.locked()

    def close(self) -> None:
        """Begin no more; a look that goes on may take some seconds to end."""
        self._closed = True
        if self._looking.acquire(timeout=_END_SECONDS):
            self._looking.release()

    def _begin(self) -> None:
        if self._closed or not self._looking.acquire(blocking=False):
            return
        self._stale = False
        threading.Thread(target=self._look, name="plan of the web app", daemon=True).start()

    def _look(self) -> None:
        try:
            self._overview = self._read()
        except AgentAssetsError as error:
            before = self._overview or LastPlan(at=0.0)
            self._overview = LastPlan(
                time.time(), before.agents, before.stale, before.never, problems=(error.message,)
            )
        finally:
            self._looking.release()

    def _read(self) -> LastPlan:
        from agent_assets.automation.planner import (
            Options,
            current_plan,
            with_words,
        )
        from agent_assets.automation.sources import MongoElders

        installation = self._installation.get()
        options = Options(shared_max_age_s=_SHARED_AGE_SECONDS)
        snapshot = current_plan(installation, self._jobs.instance, now=time.time(), options=options)
        plan = with_words(installation, snapshot, limit=_DESCRIBED)
        names: dict[AgentKey, str] = {}
        for graph in installation.graphs:
            if not graph.spec.partitioned:
                names[graph.name, graph.name] = ""
                continue
            known = MongoElders(installation.mongo, graph).names()
            members = snapshot.elders.get(graph.name)
            for elder in () if members is None else members.digests:
                names[elder, graph.name] = known.get(elder, "")
        return overview_of(plan, names, snapshot.problems, time.time())


def overview_of(
    plan: Plan, names: Mapping[AgentKey, str], problems: tuple[str, ...], at: float
) -> LastPlan:
    """A plan as the pages need it; an agent without a name is called by its id."""
    causes: dict[AgentKey, dict[str, Cause]] = {}
    shared: dict[str, dict[str, Cause]] = {}
    partitioned = {pipeline.name for pipeline in plan.pipelines if pipeline.partitions}
    for entry in plan.asset_partitions:
        own = [cause for cause in entry.causes if cause.kind is not CauseKind.UPSTREAM]
        if entry.partition is None and entry.pipeline in partitioned:
            shared.setdefault(entry.pipeline, {}).update({c.detail: c for c in own})
            continue
        agent = (entry.partition or entry.pipeline, entry.pipeline)
        causes.setdefault(agent, {}).update({cause.detail: cause for cause in own})
    never = {(run.partition or run.pipeline, run.pipeline) for run in plan.runs if run.new}
    ordered = sorted(names, key=lambda agent: ((names[agent] or agent[0]).casefold(), agent))
    return LastPlan(
        at=at,
        agents={agent: names[agent] or agent[0] for agent in ordered},
        stale={agent: tuple(found.values()) for agent, found in causes.items()},
        never=frozenset(never),
        shared={pipeline: tuple(found.values()) for pipeline, found in shared.items()},
        problems=problems,
    )
