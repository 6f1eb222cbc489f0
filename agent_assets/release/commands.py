"""`agent-assets releases`, `rollback` and `promote`: from the store alone, without Dagster."""

import json

import click

from agent_assets.errors import ReleaseError
from agent_assets.release.pointer import (
    current_entry,
    damaged_releases,
    known_agents,
    move,
    read_ledger,
    release_key,
    released_agents,
)
from agent_assets.release.records import Agent, Entry, Ledger, read_candidate
from agent_assets.release.repair import repair_store
from agent_assets.release.rollback import roll_back_release
from agent_assets.settings import Settings, this_user
from agent_assets.store.artifact_store import ArtifactStore


def open_store(settings: Settings) -> ArtifactStore:
    """The store of this installation."""
    return ArtifactStore(settings.store, cache=settings.home / "store-cache")


def show_releases(settings: Settings, name: str | None, *, as_json: bool) -> int:
    """Print who is released, or the history of one agent."""
    store = open_store(settings)
    if name is None:
        agents = released_agents(store)
        damaged = damaged_releases(store)
        agents = [agent for agent in agents if agent not in damaged]
        for agent, why in damaged.items():
            click.echo(f"{agent[0]}/{agent[1]}: {why}", err=True)
        if as_json:
            click.echo(json.dumps([_row(store, agent) for agent in agents], indent=2))
            return 0
        for agent in agents:
            entry = current_entry(store, agent)
            click.echo(
                f"{agent[0]}/{agent[1]}  {_line(entry)}"
                if entry
                else f"{agent[0]}/{agent[1]}  removed"
            )
        unreadable = f", {len(damaged)} cannot be read" if damaged else ""
        click.echo(f"{len(agents)} agents released{unreadable}")
        return 0
    ledger = read_ledger(store, find_agent(store, name))
    click.echo(
        json.dumps(ledger.model_dump(mode="json"), indent=2) if as_json else _history(ledger)
    )
    return 0


def roll_back(
    settings: Settings, name: str, *, to: str | None, author: str | None, reason: str
) -> int:
    """Move the pointer back and say to what."""
    store = open_store(settings)
    agent = find_agent(store, name)
    entry = roll_back_release(store, agent, to=to, author=author or this_user(), reason=reason)
    click.echo(
        f"{agent[0]}/{agent[1]} answers with {entry.name} (version {entry.version[:8]}) from now on"
    )
    return 0


def promote_version(
    settings: Settings, name: str, version: str, *, author: str | None, reason: str
) -> int:
    """Release a judged candidate against the gate's verdict: a person decides and signs."""
    if not reason.strip():
        raise ReleaseError(
            "A promotion by hand needs a reason.", next_step="say why with --reason."
        )
    store = open_store(settings)
    agent = find_agent(store, name)
    ledger = read_ledger(store, agent)
    judged = sorted(
        {verdict.candidate for verdict in ledger.verdicts if verdict.candidate.startswith(version)}
    )
    if len(judged) != 1:
        raise ReleaseError(
            f"{agent[0]}/{agent[1]} has {len(judged)} judged candidates called '{version[:40]}'.",
            next_step=f"`agent-assets releases {name}` lists them.",
        )
    if (answering := current_entry(store, agent)) is not None and answering.version == judged[0]:
        click.echo(f"{agent[0]}/{agent[1]} answers with {answering.name} already")
        return 0
    partition = None if agent[1] == agent[0] else agent[1]
    artifact = store.find(release_key(agent[0], partition), judged[0])
    if artifact is None:
        raise ReleaseError(
            f"Version {version[:8]} is not in the store any more.", next_step="build it again."
        )
    candidate = read_candidate(artifact.path)
    moved = move(
        store,
        agent,
        expected=ledger.current.version if ledger.current else None,
        version=judged[0],
        name=candidate.name,
        action="override",
        author=author or this_user(),
        reason=reason,
        elder=partition,
        size=artifact.manifest.summary.get("adapter_bytes", 0),
    )
    assert moved.current is not None
    click.echo(f"{agent[0]}/{agent[1]} answers with {moved.current.name} from now on")
    return 0


def repair_installation(settings: Settings) -> int:
    """Repair what can be, and say what was done and what stays damaged."""
    repairs = repair_store(open_store(settings))
    for repair in repairs:
        click.echo(f"{'repaired' if repair.done else 'DAMAGED ':<8} {repair.what}: {repair.how}")
    left = sum(not repair.done for repair in repairs)
    click.echo(
        f"{len(repairs) - left} repaired, {left} stay damaged"
        if repairs
        else "Every release pointer and tombstone is whole."
    )
    return 1 if left else 0


def find_agent(store: ArtifactStore, name: str) -> Agent:
    """The one agent called `name`.

    Raises:
        ReleaseError: none is, or several are.
    """
    agents = known_agents(store, name)
    if len(agents) == 1:
        return agents[0]
    if not agents:
        raise ReleaseError(
            f"There is no release of '{name[:80]}'.",
            next_step="materialize its `release`; `agent-assets releases` lists who is released.",
        )
    listed = ", ".join("/".join(agent) for agent in agents)
    raise ReleaseError(
        f"'{name[:80]}' has releases in several pipelines.", next_step=f"say which: {listed}."
    )


def _row(store: ArtifactStore, agent: Agent) -> dict[str, object]:
    entry = current_entry(store, agent)
    current = None if entry is None else entry.model_dump(mode="json")
    return {"pipeline": agent[0], "agent": agent[1], "current": current}


def _line(entry: Entry) -> str:
    return f"{entry.name}  version {entry.version[:8]}  {entry.action} {entry.at} by {entry.author}"


def _history(ledger: Ledger) -> str:
    lines = [f"{ledger.pipeline}/{ledger.agent}"]
    for entry in ledger.history:
        mark = "*" if entry is ledger.history[-1] and ledger.current is not None else " "
        lines.append(f"{mark} {_line(entry)}: {entry.reason}")
    lines += [
        f"  judged {verdict.candidate[:8]}: {verdict.decision}: {'; '.join(verdict.reasons)}"
        for verdict in ledger.verdicts
    ]
    return "\n".join(lines)
