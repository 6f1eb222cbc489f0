"""What reviewers decide makes exactly their elder stale, says how much it was, and is erased with
the elder.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_assets.automation.pipelines import Graph
from agent_assets.automation.planner import current_plan, with_words
from agent_assets.erasure.place import Scene
from agent_assets.erasure.places.reviews import ReviewDocuments
from agent_assets.erasure.request import ErasureRequest
from agent_assets.pipeline.stage import Source, StageResult, StageRun
from agent_assets.pipeline.stages.train_jsonl import STAGE as ROWS
from agent_assets.planning.asset_partitions import CauseKind
from agent_assets.reviews import decisions
from agent_assets.reviews.decisions import content_id
from agent_assets.reviews.store import Reviews, TurnReview, Verdict
from agent_assets.settings import load_settings
from agent_assets.store.manifest import CheckEntry
from support.town import ADA, BEN, Town


class ReviewedTown(Town):
    """A town whose rows read what reviewers decided, as the real ones do."""

    def graph(self) -> Graph:
        graph = super().graph()
        stages = dict(graph.stages)
        stages[ROWS.name] = replace(
            stages[ROWS.name], read_source=ROWS.read_source, build=_rows_with_decisions
        )
        return Graph(graph.spec, stages)

    def why(self) -> dict[tuple[str, str | None], list[str]]:
        """Causes of what is stale of its own, in words."""
        installation = self.installation()
        snapshot = current_plan(installation, self.instance, now=self.clock.timestamp())
        return {
            (entry.asset, entry.partition): [cause.detail for cause in own]
            for entry in with_words(installation, snapshot).asset_partitions
            if (own := [c for c in entry.causes if c.kind is not CauseKind.UPSTREAM])
        }


def _rows_with_decisions(run: StageRun, source: Source, folder: Path) -> StageResult:
    text = (run.path("elder_memories") / "text.txt").read_text(encoding="utf-8")
    (folder / "text.txt").write_text(text + json.dumps(source.data), encoding="utf-8")
    return StageResult(summary={}, checks=[CheckEntry(name="sound", passed=True)])


@pytest.fixture
def reviewed(town: Town, monkeypatch: pytest.MonkeyPatch) -> ReviewedTown:
    monkeypatch.setattr(decisions, "DATABASE", town.db.name)
    return ReviewedTown(town.instance, town.folder, town.world, town.mongo)


@pytest.fixture
def reviews(reviewed: ReviewedTown, mongo_uri: str) -> Iterator[Reviews]:
    kept = Reviews(mongo_uri, reviewed.db.name, reviewed.db.name)
    yield kept
    kept.close()


def say(reviews: Reviews, elder: str, question: str, verdict: Verdict, edited: str = "") -> None:
    number = content_id(question, "An answer.")
    turn: dict[str, Any] = {"question": question, "answer": "An answer.", "content_id": number}
    review = TurnReview(
        kind="turn",
        agent=elder,
        verdict=verdict,
        edited=edited,
        comment="",
        reviewer="Ann",
        by="t1",
        **turn,
    )
    reviews.note_turn(review)


def test_the_plan_names_the_reviewed_elder_and_how_many_reviews(
    reviewed: ReviewedTown, reviews: Reviews
) -> None:
    reviewed.on_materialized()
    assert reviewed.why() == {}
    say(reviews, ADA, "Where?", "wrong")
    say(reviews, ADA, "When?", "edited", "In 1845.")
    say(reviews, BEN, "Who?", "right")  # changes nothing
    assert reviewed.why() == {(ROWS.name, ADA): ["because of 2 reviews"]}
    reviewed.on_materialized()
    assert reviewed.why() == {}
    reviews.take_back(ADA, content_id("When?", "An answer."))
    assert reviewed.why() == {(ROWS.name, ADA): ["because of 1 review taken back"]}


def test_what_was_said_of_an_elder_is_forgotten_with_them_or_with_a_memory(
    reviewed: ReviewedTown, reviews: Reviews
) -> None:
    say(reviews, ADA, "Where?", "wrong")
    say(reviews, ADA, "When?", "edited", "In 1845 [m-12ab34cd].")
    say(reviews, BEN, "Where?", "wrong")
    place = ReviewDocuments()

    def scene(memory: str | None) -> Scene:
        request = ErasureRequest(elder=ADA, memory=memory, who="ann")
        settings = load_settings({})
        return Scene(settings, reviewed.installation(), reviewed.instance, request)

    counts = [len(place.items(scene(name))) for name in ("m-12ab34cd", "m-12ab34c", None)]
    assert counts == [1, 0, 2]
    place.remove(scene("m-12ab34cd"))
    assert len(place.items(scene(None))) == 1
    place.remove(scene(None))
    assert set(decisions.decision_versions(reviewed.db)) == {BEN}
