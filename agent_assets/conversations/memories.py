"""What an elder told: the memory and profile types, and the files that carry them between
stages.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agent_assets.conversations.messages import canonical_json, canonical_text_json

MEMORIES_FILE = "memories.jsonl"
PROFILE_FILE = "elder.json"


@dataclass(frozen=True)
class Memory:
    """One answer of an elder (or of a relative about them). Times are ISO 8601 in UTC, "" when the
    source has none.
    """

    memory_id: str
    question: str
    answer: str
    category: str = ""
    answered_by: str = ""
    relationship: str = "self"
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True)
class ElderProfile:
    """Who the elder is. `traits` holds short texts by name (personality, hobby, catchphrase,
    life_motto, ...).
    """

    elder_id: str
    name: str
    language: str = "en"  # ISO 639; "und" where nobody knows
    traits: dict[str, str] = field(default_factory=dict)


def write_memories(folder: Path, profile: ElderProfile, memories: Iterable[Memory]) -> None:
    """Write `elder.json` and `memories.jsonl` (sorted by memory id) into `folder`."""
    (folder / PROFILE_FILE).write_text(canonical_json(vars(profile)) + "\n", encoding="utf-8")
    lines = [
        canonical_text_json(vars(memory))
        for memory in sorted(memories, key=lambda memory: memory.memory_id)
    ]
    (folder / MEMORIES_FILE).write_bytes(b"".join(line + b"\n" for line in lines))


def read_profile(folder: Path) -> ElderProfile:
    """Read `elder.json` of an elder_memories artifact."""
    return ElderProfile(**json.loads((folder / PROFILE_FILE).read_text(encoding="utf-8")))


def read_memories(folder: Path) -> list[Memory]:
    """Read `memories.jsonl` of an elder_memories artifact, in file order (sorted by memory id)."""
    with (folder / MEMORIES_FILE).open(encoding="utf-8") as lines:
        return [Memory(**json.loads(line)) for line in lines]
