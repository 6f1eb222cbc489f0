"""What a release is made of: the candidate's files, the verdict on it, and the ledger of one
agent.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_assets.errors import CorruptArtifact
from agent_assets.store.artifact_store import Artifact, ArtifactKey

CANDIDATE_FILE = "candidate.json"
ITEMS_FILE = "items.json"
STAGE = "release"
NOTHING_ANSWERS = "nothing"  # in what is shown of a verdict: the agent has no release

Agent = tuple[str, str]  # pipeline, and the elder (the pipeline's own name in an unpartitioned one)
ReasonCode = Literal[
    "incomplete",
    "canaries",
    "cross_answers",
    "leaks_not_checked",
    "knows_others",
    "cross_not_asked",
    "below_floor",
    "fell",
    "rolled_back",
    "few_shared",
    "not_checked",
    "too_few",
    "can",
    "nothing_fell",
]
Action = Literal["promote", "override", "rollback", "copy", "drop"]


class _Record(BaseModel):
    """Aliases are the keys of the files, which older names of the fields gave them."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, serialize_by_alias=True
    )


class Part(_Record):
    """One artifact that a release uses."""

    asset: str
    partition: str | None
    fingerprint: str
    version: str

    @classmethod
    def of(cls, artifact: Artifact) -> "Part":
        """The part that an artifact is."""
        manifest = artifact.manifest
        return cls(
            asset=manifest.asset,
            partition=manifest.partition,
            fingerprint=manifest.fingerprint,
            version=manifest.data_version,
        )

    def key(self, pipeline: str) -> ArtifactKey:
        """Where it lies in the store."""
        return ArtifactKey(pipeline, self.asset, self.partition)


class Candidate(_Record):
    """`candidate.json`: everything serving needs to answer as this version, and what the gate needs
    to judge it.

    Args:
        name: content name under which a server knows the adapter, `<partition>-<8 hex>`; never used
            twice.
        variant: of the report that was judged (`sft`, `rl`).
        system_prompt: what the agent was trained and evaluated under.
        parts: artifacts by role: base, adapter, merged, tools, memories (of an elder), rows,
            report.
        incomplete: why it can never be released, in words; () when nothing is missing.
        leaks: what was found of other elders in its answers, see `leaks.Leaks`.
        incarnation: of its elder when it was made; it can be released in that one alone. None in
            old candidates.
    """

    pipeline: str
    partition: str | None
    name: str
    variant: str = Field(alias="system")
    system_prompt: str
    parts: dict[str, Part]
    scores: dict[str, float | None]
    incomplete: tuple[str, ...] = ()
    leaks: dict[str, int] = Field(default_factory=dict)
    incarnation: int | None = Field(default=None, alias="generation")


# By item id: {"digest": hash of the item's content, "base": scores of the base model, "candidate":
# its own, "peers": those of others by their names, where there are some}.
Items = dict[str, dict[str, Any]]


class Entry(_Record):
    """One move of the pointer. `version` is the fingerprint of a release artifact, "" when the
    pointer was dropped.

    Args:
        elder: whose artifacts they are: for a copy, the elder it was copied from.
        incarnation: of that elder; a version made before a removal never answers again.
        replaced: the version that answered before, None if none did.
        bytes: size of the adapter.
    """

    version: str
    name: str
    action: Action
    at: str
    author: str
    reason: str
    elder: str | None = None
    incarnation: int = Field(default=0, alias="generation")
    replaced: str | None = None
    bytes: int = 0


class Reason(_Record):
    """One reason of a verdict without its words, for pages in other languages.

    Args:
        code: what kind of reason it is; `serving/webapp/gate_words.py` has words for each.
        values: what a sentence of that kind names: metrics, shares from 0 to 1, counts, names.
    """

    code: ReasonCode
    values: dict[str, str | int | float | None] = Field(default_factory=dict)


class Verdict(_Record):
    """What the gate said of a candidate, with the numbers it rests on.

    Args:
        reasons: sentences for everybody, each with its figures behind it.
        codes: the same reasons in the same order, without words; verdicts of before have none. Of
            one that passed: what the agent can do, metric by metric, then that nothing fell.
        metrics: by metric, against what is released (the base model without a release).
        peers: the same by peer (`base`, and others that answered the items).
        power: by group of metrics, what its items can show (see power.py).
    """

    decision: Literal["PROMOTE", "HOLD", "REJECT"]
    reasons: tuple[str, ...]
    codes: tuple[Reason, ...] = ()
    candidate: str
    compared_with: str
    shared_items: int
    metrics: dict[str, dict[str, float | int]] = Field(default_factory=dict)
    peers: dict[str, dict[str, dict[str, float | int]]] = Field(default_factory=dict)
    power: dict[str, dict[str, float | int | None]] = Field(default_factory=dict)
    leaks: dict[str, int] = Field(default_factory=dict)


class Ledger(_Record):
    """Everything that happened to the release of one agent. `current` is what answers now."""

    pipeline: str
    agent: str
    current: Entry | None = None
    history: tuple[Entry, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


def read_candidate(folder: Path) -> Candidate:
    """Read `candidate.json` of a release artifact.

    Raises:
        CorruptArtifact: it is gone, or is no candidate.
    """
    try:
        return Candidate.model_validate_json((folder / CANDIDATE_FILE).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise _damaged(folder, CANDIDATE_FILE) from error


def read_release_items(folder: Path) -> Items:
    """Read `items.json` of a release artifact.

    Raises:
        CorruptArtifact: it is gone, or is no JSON.
    """
    try:
        items: Items = json.loads((folder / ITEMS_FILE).read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise _damaged(folder, ITEMS_FILE) from error
    return items


def _damaged(folder: Path, name: str) -> CorruptArtifact:
    return CorruptArtifact(
        f"{name} of the release artifact {folder.parent.name}/{folder.name} cannot be read.",
        next_step="materialize `release` again: it is rebuilt, and the damaged copy set aside.",
    )
