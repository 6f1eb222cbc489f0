"""What the pipelines read outside the graph, as the plan needs it: elders from MongoDB, tool
servers, base weights.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_assets.automation.pipelines import Graph
from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import AgentAssetsError
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.layout import MongoLayout
from agent_assets.pipeline.stage import SourceContext
from agent_assets.planning.elders import UNUSABLE, ChangeTokens, ElderContent
from agent_assets.planning.fingerprint import source_version
from agent_assets.planning.index import PlanIndex

if TYPE_CHECKING:
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.mongo.reader import ElderRecord

_MANY_ANSWERS = 100_000  # fewer are read in a moment without an index


class MongoElders:
    """The elders of one partitioned pipeline; see `planning.elders.ElderSource`."""

    def __init__(self, mongo: MemoryDatabase, graph: Graph) -> None:
        settings = graph.spec.config.elder_memories
        self._mongo = mongo
        self._layout = MongoLayout.model_validate(settings.layout)
        self._max_answer_chars = settings.max_answer_chars

    @property
    def scope(self) -> str:
        """Hash of server, database, layout and the longest answer that counts."""
        parts = [
            self._mongo.uri,
            self._mongo.database,
            self._layout.model_dump(),
            self._max_answer_chars,
        ]
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]

    def change_tokens(self) -> ChangeTokens:
        """Signatures of the answers, with a hash of the profile."""
        from agent_assets.mongo.checksums import duplicate_ids, profile_tokens, question_tokens

        signatures = self._mongo.elder_signatures(self._layout)
        profiles, twice, broken_profiles = profile_tokens(self._mongo.db, self._layout)
        questions, unusable_questions = question_tokens(self._mongo.db, self._layout)
        elders = {
            elder: f"{signature.count}:{signature.max_updated}:{signature.sum_updated}:"
            f"{profiles.get(elder, '')}"
            for elder, signature in signatures.items()
        }
        return ChangeTokens(
            elders=elders,
            questions=questions,
            set_aside={
                "elder ids that cannot be used": self._mongo.list_elder_ids(self._layout).invalid,
                "questions without a wording": unusable_questions,
                "profiles that cannot be read": broken_profiles,
            },
            duplicate_profiles=twice + duplicate_ids(elders),
            advice=self._advice(sum(signature.count for signature in signatures.values())),
        )

    def _advice(self, answers: int) -> str:
        from agent_assets.mongo.signatures import has_recommended_index, recommended_index

        if answers < _MANY_ANSWERS or has_recommended_index(self._mongo.db, self._layout):
            return ""
        keys = ", ".join(name for name, _ in recommended_index(self._layout))
        return f"no index on {keys}: each look reads {answers} documents, see `agent-assets doctor`"

    def checksums(self) -> Mapping[str, str]:
        """Checksum of all answers by elder."""
        from agent_assets.mongo.checksums import answer_checksums

        return answer_checksums(self._mongo.db, self._layout)

    def answering(self, questions: Iterable[str]) -> set[str]:
        """Elders with an answer to one of these questions."""
        from agent_assets.mongo.checksums import elders_answering

        return elders_answering(self._mongo.db, self._layout, questions)

    def contents(self, elders: Iterable[str]) -> Iterator[ElderContent]:
        """The same digest that the stage elder_memories takes as its source version. An answer that
        a later one supersedes is ordinary, and not counted.
        """
        from agent_assets.mongo.answers import SkipReason
        from agent_assets.mongo.reader import content_digest

        for record in self.records(elders):
            digest = source_version(content_digest(record)) if record.memories else UNUSABLE
            skipped = {
                reason: count
                for reason, count in record.skipped.items()
                if reason != SkipReason.SUPERSEDED
            }
            yield ElderContent(record.profile.elder_id, digest, skipped)

    def records(self, elders: Iterable[str]) -> "Iterator[ElderRecord]":
        """The elders themselves."""
        return self._mongo.iter_elders(
            self._layout, elders, max_answer_chars=self._max_answer_chars
        )

    def names(self) -> dict[str, str]:
        """What the elders are called, of those whose profile says so."""
        from agent_assets.mongo.names import elder_names

        return elder_names(self._mongo.db, self._layout)


@dataclass(frozen=True)
class SharedSources:
    """Versions and data of sources that all elders share, by (pipeline, stage), and what could not
    be read.
    """

    versions: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    data: Mapping[tuple[str, str], str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_shared(
    graphs: Iterable[Graph],
    mongo: MemoryDatabase,
    engines: "LocalEngines",
    index: PlanIndex,
    *,
    now: float,
    max_age_s: float,
) -> SharedSources:
    """Ask tool servers for their tools and hash base weights, or take what was read less than
    `max_age_s` ago.

    A source that cannot be read is a problem to report, and counts as unchanged: its stage says why
    when it runs.
    """
    versions: dict[tuple[str, str], Mapping[str, str]] = {}
    data: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    known = _load(index)
    for graph in graphs:
        for stage in graph.stages.values():
            if stage.read_source is None or graph.partitioned(stage):
                continue
            key = (graph.name, stage.name)
            read_at, digests, text = known.get(key, (float("-inf"), {}, None))
            if not 0 <= now - read_at <= max_age_s:
                context = SourceContext(
                    pipeline=graph.spec, partition=None, mongo=mongo, engines=engines
                )
                try:
                    source = stage.read_source(context)
                except AgentAssetsError as error:
                    problems.append(f"{graph.name}/{stage.name}: {error.message}")
                    continue
                digests = {name: source_version(digest) for name, digest in source.versions.items()}
                text = source.data if isinstance(source.data, str) else None
                _store(index, key, digests, text, now)
            versions[key] = digests
            if text is not None:
                data[key] = text
    return SharedSources(versions, data, tuple(problems))


_SourcesRead = dict[tuple[str, str], tuple[float, dict[str, str], str | None]]


def _load(index: PlanIndex) -> _SourcesRead:
    with index.open() as connection:
        rows = connection.execute(
            "SELECT pipeline, stage, read_at, versions, data FROM shared_sources"
        ).fetchall()
    return {
        (pipeline, stage): (read_at, json.loads(text), data)
        for pipeline, stage, read_at, text, data in rows
    }


def _store(
    index: PlanIndex,
    key: tuple[str, str],
    versions: Mapping[str, str],
    data: str | None,
    now: float,
) -> None:
    with index.open() as connection:
        row = (*key, json.dumps(dict(versions)), data, now)
        connection.execute("INSERT OR REPLACE INTO shared_sources VALUES (?, ?, ?, ?, ?)", row)
