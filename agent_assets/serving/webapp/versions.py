"""The versions of one agent, side by side: what each can do, what the gate said, its reports."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent_assets.release.pointer import read_ledger, release_key, version_of
from agent_assets.release.records import Agent, Candidate, Entry, Ledger, Verdict, read_candidate
from agent_assets.store.artifact_store import Artifact, ArtifactStore
from agent_assets.store.web_addresses import file_address

MOST = 6  # versions on one page, the latest
# Files that the pages may show of an artifact; everything else of the store stays where it is.
REPORT = "report.html"
_SHOWN = {"evaluation": ("report", REPORT), "data": ("rows", REPORT)}
_CURVES = ("loss", "reward")  # pictures of the adapter


@dataclass(frozen=True)
class AgentVersion:
    """One version that was made.

    Args:
        scores: share by metric, None where nothing was asked.
        items: how many items the gate had, by metric.
        reports: address by kind (`evaluation`, `data`); `curves` pictures by kind (`loss`).
        can_return: whether a rollback can go to it.
    """

    version: str
    name: str
    answers: bool
    entry: Entry | None
    verdict: Verdict | None
    scores: Mapping[str, float | None]
    items: Mapping[str, int]
    reports: Mapping[str, str]
    curves: Mapping[str, str]
    can_return: bool


def versions_of(store: ArtifactStore, agent: Agent) -> list[AgentVersion]:
    """The latest versions, the newest first: those that answered, and those that were only
    judged. It blocks.
    """
    ledger = read_ledger(store, agent)
    order: dict[str, None] = {}
    for number in [entry.version for entry in ledger.history if entry.version]:
        order.pop(number, None)
        order[number] = None
    for verdict in ledger.verdicts:
        order.setdefault(verdict.candidate, None)
    newest = list(order)[::-1][:MOST]
    current = version_of(ledger.current)
    newest.sort(key=lambda version: version != current)
    return [_version(store, agent, ledger, version) for version in newest]


def _version(store: ArtifactStore, agent: Agent, ledger: Ledger, version: str) -> AgentVersion:
    moves = [entry for entry in ledger.history if entry.version == version]
    verdicts = [verdict for verdict in ledger.verdicts if verdict.candidate == version]
    entry, verdict = (moves[-1] if moves else None), (verdicts[-1] if verdicts else None)
    elder = entry.elder if entry is not None else None if agent[0] == agent[1] else agent[1]
    artifact = store.find(release_key(agent[0], elder), version)
    candidate = None if artifact is None else read_candidate(artifact.path)
    answers = version == version_of(ledger.current)
    returnable = any(move.action in ("promote", "override", "copy") for move in moves)
    return AgentVersion(
        version=version,
        name=entry.name if entry is not None else candidate.name if candidate else version[:8],
        answers=answers,
        entry=entry,
        verdict=verdict,
        scores={} if candidate is None else candidate.scores,
        items={name: int(f["items"]) for name, f in verdict.metrics.items()} if verdict else {},
        reports={} if candidate is None else _reports(store, agent[0], candidate),
        curves={} if candidate is None else _curves(store, agent[0], candidate),
        can_return=returnable and not answers and artifact is not None,
    )


def _reports(store: ArtifactStore, pipeline: str, candidate: Candidate) -> dict[str, str]:
    found = {}
    for kind, (role, name) in _SHOWN.items():
        artifact = _part(store, pipeline, candidate, role)
        if artifact is not None and name in artifact.manifest.files:
            found[kind] = file_address(artifact.key, artifact.manifest.fingerprint, name)
    return found


def _curves(store: ArtifactStore, pipeline: str, candidate: Candidate) -> dict[str, str]:
    artifact = _part(store, pipeline, candidate, "adapter")
    names = {kind: f"plots/{kind}.png" for kind in _CURVES}
    return {
        kind: file_address(artifact.key, artifact.manifest.fingerprint, name)
        for kind, name in names.items()
        if artifact is not None and name in artifact.manifest.files
    }


def _part(store: ArtifactStore, pipeline: str, candidate: Candidate, role: str) -> Artifact | None:
    part = candidate.parts.get(role)
    return None if part is None else store.find(part.key(pipeline), part.fingerprint)
