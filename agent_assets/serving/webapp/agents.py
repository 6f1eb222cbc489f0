"""How each agent is, for people: it answers, it learns, it is held back and why, it never learned.

Read from the pointers, the runs and the last look of the plan, of the agents of one page only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.exceptions import HTTPException

from agent_assets.errors import ReleaseError
from agent_assets.planning.asset_partitions import Cause
from agent_assets.release.pointer import read_ledger, version_of
from agent_assets.release.records import Ledger, Verdict
from agent_assets.serving.context import Services
from agent_assets.serving.jobs import JobUnknown
from agent_assets.serving.tokens import Caller
from agent_assets.serving.webapp.overview import AgentKey, LastPlan

Show = Literal["all", "answers", "learns", "stale"]
State = Literal["answers", "held", "stopped", "unchecked", "never", "damaged"]
SHOWS: tuple[Show, ...] = ("all", "answers", "learns", "stale")
PER_PAGE = 24
_FOLLOWED = 4  # runs whose events are read for one page


@dataclass(frozen=True)
class AgentState:
    """One agent.

    Args:
        state: without its training.
        job: the training that waits or goes on, as the API tells it; None without one.
        held: the verdict on a version that was made and does not answer.
        causes: why it is stale, () where only what all agents share is; None when it is not stale.
        changed_at: since when the version answers, ISO 8601.
    """

    agent_id: str
    pipeline: str
    name: str
    state: State
    job: Mapping[str, Any] | None
    held: Verdict | None
    causes: tuple[Cause, ...] | None
    changed_at: str


@dataclass(frozen=True)
class AgentPage:
    """A page of agents. `counts` says how many agents each choice of `Show` has."""

    agents: Sequence[AgentState]
    counts: Mapping[Show, int]
    number: int
    pages: int


class AgentList:
    """The agents that a caller may know of, with what is going on now. It blocks."""

    def __init__(self, serving: Services, caller: Caller, overview: LastPlan | None) -> None:
        self._serving, self._caller = serving, caller
        self._overview = overview or LastPlan(at=0.0)
        self._jobs = {job["elder_id"]: job for job in serving.jobs.active(caller.elder)[1]}
        released = serving.released.agents()
        self._released = {(name, pipeline) for pipeline, name in released if caller.may_see(name)}
        self._names = {
            agent: name for agent, name in self._overview.agents.items() if caller.may_see(agent[0])
        }
        for agent in sorted(self._released - self._names.keys()):
            self._names[agent] = agent[0]

    def page(self, show: Show, query: str, number: int) -> AgentPage:
        """The agents of one page.

        Args:
            query: a part of their name or id, whatever its case.
            number: of the page, from 1; too large a one is the last.
        """
        chosen: dict[Show, list[AgentKey]] = {show: [] for show in SHOWS}
        wanted = query.strip().casefold()
        for agent, name in self._names.items():
            if wanted in name.casefold() or wanted in agent[0].casefold():
                for kind in self._kinds(agent):
                    chosen[kind].append(agent)
        agents = chosen[show]
        pages = max(1, -(-len(agents) // PER_PAGE))
        number = min(max(1, number), pages)
        shown = agents[(number - 1) * PER_PAGE : number * PER_PAGE]
        counts = {kind: len(found) for kind, found in chosen.items()}
        return AgentPage(self._states(shown), counts, number, pages)

    def one(self, agent_id: str) -> AgentState | None:
        """One agent; None when the caller may not know of it.

        Raises:
            HTTPException: it may be there, and nobody looked yet.
        """
        found = [agent for agent in self._names if agent[0] == agent_id]
        if not found and not self._overview.at and self._caller.may_see(agent_id):
            raise HTTPException(503)  # nobody looked yet
        return self._states(found)[0] if found else None

    def _kinds(self, agent: AgentKey) -> Iterable[Show]:
        yield "all"
        if agent in self._released:
            yield "answers"
        if agent[0] in self._jobs:
            yield "learns"
        if agent in self._overview.stale:
            yield "stale"

    def _states(self, agents: Sequence[AgentKey]) -> list[AgentState]:
        learning = [agent[0] for agent in agents if agent[0] in self._jobs][:_FOLLOWED]
        progress = {agent_id: self._progress(self._jobs[agent_id]) for agent_id in learning}
        return [self._state(agent, progress.get(agent[0])) for agent in agents]

    def _progress(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._serving.jobs.progress(job["job_id"], self._caller.may_see)
        except JobUnknown:  # it was removed meanwhile
            return job

    def _state(self, agent: AgentKey, progress: Mapping[str, Any] | None) -> AgentState:
        agent_id, pipeline = agent
        state: State
        try:
            ledger = read_ledger(self._serving.released.store, (pipeline, agent_id))
        except ReleaseError:
            ledger, state = Ledger(pipeline=pipeline, agent=agent_id), "damaged"
        else:
            state = self._state_of(agent, ledger)
        current = ledger.current if state == "answers" else None
        return AgentState(
            agent_id=agent_id,
            pipeline=pipeline,
            name=self._names[agent],
            state=state,
            job=progress or self._jobs.get(agent_id),
            held=_held(ledger),
            causes=self._overview.stale.get(agent),
            changed_at="" if current is None else current.at,
        )

    def _state_of(self, agent: AgentKey, ledger: Ledger) -> State:
        if ledger.current is not None:
            entry = self._serving.released.entry((agent[1], agent[0]))
            return "answers" if entry is not None else "stopped"
        if _held(ledger) is not None:
            return "held"
        if ledger.history:
            return "stopped"
        known = agent in self._overview.agents and agent not in self._overview.never
        return "unchecked" if known else "never"


def _held(ledger: Ledger) -> Verdict | None:
    """The verdict on the latest version, where that does not answer."""
    latest = ledger.verdicts[-1] if ledger.verdicts else None
    if latest is None or latest.decision == "PROMOTE":
        return None
    return None if latest.candidate == version_of(ledger.current) else latest
