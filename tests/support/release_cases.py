"""Release artifacts and ledgers for tests: complete in the store, with nothing trained."""

import json
from typing import Any

from agent_assets.release.pointer import agent_of, move, release_key
from agent_assets.release.records import CANDIDATE_FILE, ITEMS_FILE, Candidate, Items, Ledger, Part
from agent_assets.store.artifact_store import Artifact, ArtifactStore
from agent_assets.store.manifest import CheckEntry
from support.artifacts import add_artifact


def item_scores(number: int, before: float, after: float, metric: str = "recall_open") -> Items:
    return {
        f"i{index}": {"digest": f"d{index}", "base": {metric: before}, "candidate": {metric: after}}
        for index in range(number)
    }


def candidate(name: str = "ada-00000001", **changes: Any) -> Candidate:
    known: dict[str, Any] = {
        "pipeline": "elder_companion",
        "partition": "ada",
        "name": name,
        "system": "sft",
        "system_prompt": "You are Ada.",
        "parts": {},
        "scores": {"recall_open": 0.5},
    }
    return Candidate.model_validate(known | changes)


def add_release(
    store: ArtifactStore,
    version: str,
    *,
    parts: dict[str, Part] | None = None,
    items: Items | None = None,
    inputs: dict[str, str] | None = None,
    **changes: Any,
) -> Artifact:
    """Commit a release artifact; it is not released yet."""
    content = candidate(changes.pop("name", f"ada-{version[:8]}"), parts=parts or {}, **changes)
    key = release_key(content.pipeline, content.partition)
    files: dict[str, str | bytes] = {
        CANDIDATE_FILE: content.model_dump_json(),
        ITEMS_FILE: json.dumps(items or item_scores(10, 0.0, 1.0)),
    }
    checks = [CheckEntry(name="candidate_complete", passed=True)]
    return add_artifact(
        store,
        key,
        version,
        files,
        inputs=inputs or {},
        summary={"adapter_bytes": 1234, "name": content.name},
        checks=checks,
    )


def release(
    store: ArtifactStore, version: str, *, expected: str | None = None, **changes: Any
) -> Ledger:
    """Commit a release artifact and let it answer."""
    artifact = add_release(store, version, **changes)
    manifest = artifact.manifest
    return move(
        store,
        agent_of(manifest.pipeline, manifest.partition),
        expected=expected,
        version=version,
        name=manifest.summary["name"],
        action="promote",
        author="gate",
        reason="test",
        elder=manifest.partition,
        size=1234,
    )
