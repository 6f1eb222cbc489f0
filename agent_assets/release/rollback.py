"""Letting an earlier release answer again."""

from agent_assets.errors import ReleaseError
from agent_assets.release.pointer import move, read_ledger, version_of
from agent_assets.release.records import Agent, Entry, Ledger
from agent_assets.store.artifact_store import ArtifactStore


def roll_back_release(
    store: ArtifactStore, agent: Agent, *, to: str | None, author: str, reason: str
) -> Entry:
    """Let an earlier release answer again, at once.

    Args:
        to: version or content name, or the beginning of one; None takes the release before the
            current one.

    Raises:
        ReleaseError: there is no release, or no such earlier one.
    """
    ledger = read_ledger(store, agent)
    target = earlier_release(ledger, to)
    moved = move(
        store,
        agent,
        expected=version_of(ledger.current),
        version=target.version,
        name=target.name,
        action="rollback",
        author=author,
        reason=reason,
        elder=target.elder,
        size=target.bytes,
    )
    assert moved.current is not None
    return moved.current


def earlier_release(ledger: Ledger, to: str | None) -> Entry:
    """The entry that `rollback` goes to."""
    where = f"{ledger.pipeline}/{ledger.agent}"
    released = [
        entry for entry in ledger.history if entry.action in ("promote", "override", "copy")
    ]
    current = version_of(ledger.current)
    if to is not None:
        matching = {
            e.version: e for e in released if e.version.startswith(to) or e.name.startswith(to)
        }
        if len(matching) != 1:
            what = "no release" if not matching else f"{len(matching)} releases"
            raise ReleaseError(
                f"{where} has {what} called '{to[:40]}'.", next_step="see `agent-assets releases`."
            )
        return next(iter(matching.values()))
    positions = [number for number, entry in enumerate(released) if entry.version == current]
    before = [
        entry
        for entry in released[: positions[-1] if positions else len(released)]
        if entry.version != current
    ]
    if not before:
        raise ReleaseError(
            f"{where} has no earlier release.", next_step="see `agent-assets releases`."
        )
    return before[-1]


def rolled_back(ledger: Ledger, version: str) -> str | None:
    """Who took this version out of service and why; None when nobody did, or when it was released
    again since.
    """
    for entry in reversed(ledger.history):
        if entry.version == version:
            return None
        if entry.replaced == version and entry.action in ("rollback", "drop"):
            return f"{entry.author}: {entry.reason}"
    return None
