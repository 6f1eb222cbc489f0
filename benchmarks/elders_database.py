"""Elders in a real MongoDB: what a look at all of them costs, and a night in which nothing
changed.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster_history import Fleet, Sources, elder_id

from agent_assets.automation.config import load_automation
from agent_assets.automation.pipelines import Graph
from agent_assets.automation.planner import Installation
from agent_assets.automation.sources import read_shared
from agent_assets.automation.ticks import night, watch
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.mongo.signatures import elder_signatures, recommended_index
from agent_assets.planning.elders import check_elders
from agent_assets.planning.index import PlanIndex
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactStore

CONFIG = load_automation()
LAYOUT = MongoLayout.service()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds a call took, and what it returned."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def database_figures(
    folder: Path, database: Path, graph: Graph, elders: int, answers: int
) -> dict[str, Any]:
    """Everything that needs a MongoDB."""
    with start_mongod(database) as mongod, connect(mongod.uri) as client:
        figures = {"signature_1m_s": signature_seconds(client["signatures"])}
        client.drop_database("signatures")
        figures |= quiet_night(folder, mongod.uri, client["fleet"], graph, elders, answers)
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def signature_seconds(db: Any) -> float:
    """Signatures of 10,000 elders over 1,000,000 answers; the texts do not matter: only the index
    is read.
    """
    day = datetime(2026, 1, 1, tzinfo=UTC)
    elder = {"$concat": ["elder-", {"$toString": {"$mod": ["$n", 10_000]}}]}
    answer = {"_id": "$n", "elderId": elder, "createdAt": day, "updatedAt": {"$add": [day, "$n"]}}
    db.seed.insert_one({"_id": 0})
    numbers = [{"$project": {"n": {"$range": [0, 1_000_000]}}}, {"$unwind": "$n"}]
    db.seed.aggregate([*numbers, {"$project": answer}, {"$out": "answers"}])
    db.answers.create_index(recommended_index(LAYOUT))
    seconds = [timed(lambda: elder_signatures(db, LAYOUT))[0] for _ in range(5)]
    print(
        f"signatures of 10,000 elders over 1,000,000 answers: "
        f"{', '.join(f'{s:.2f}' for s in seconds)} s"
    )
    return statistics.median(seconds)


def quiet_night(
    folder: Path, uri: str, db: Any, graph: Graph, elders: int, answers: int
) -> dict[str, Any]:
    """A night in which nothing changed: content of all elders, tool servers, weights, plan."""
    figures: dict[str, Any] = {"noop_night_elders": elders, "noop_night_answers": elders * answers}
    seconds, _ = timed(lambda: fill(db, elders, answers))
    print(f"{elders * answers} answers written in {seconds:.1f} s")
    settings = load_settings()
    installation = Installation(
        graphs=(graph,),
        store=ArtifactStore(str(folder / "store")),
        mongo=MemoryDatabase(uri=uri, database="fleet"),
        engines=LocalEngines(environments=str(settings.engines), device="cpu", home=str(folder)),
        index=PlanIndex(folder / "plan"),
    )
    now = time.time()
    source = installation.elder_source(graph)
    figures["first_look_s"], looked_at = timed(
        lambda: check_elders(source, installation.index, now=now)
    )
    shared = read_shared(
        [graph], installation.mongo, installation.engines, installation.index, now=now, max_age_s=0
    )
    sources: Sources = {
        ("elder_memories", e): {"mongodb": version} for e, version in looked_at.digests.items()
    }
    sources |= {(stage, None): dict(versions) for (_, stage), versions in shared.versions.items()}
    fleet = Fleet(folder, graph, elders, sources)
    figures["watch_tick_s"], _ = timed(
        lambda: watch(installation, fleet.instance, CONFIG, later(1))
    )
    date = later(2).date().isoformat()
    figures["noop_night_s"], tick = timed(
        lambda: night(installation, fleet.instance, CONFIG, later(2), date=date)
    )
    figures["noop_night_runs"] = len(tick.requests)
    print(
        f"  {tick.message}\n  parts: "
        f"{ {name: round(part, 2) for name, part in tick.snapshot.parts.items()} }"
    )
    installation.mongo.close()
    return figures


def fill(db: Any, elders: int, answers: int) -> None:
    """Questions, profiles, and answers in bulk."""
    answered_at = datetime(2026, 1, 1, tzinfo=UTC)
    db.questions.insert_many(
        [
            {"_id": f"q{n}", "questionText": f"Question {n}?", "category": "life"}
            for n in range(answers)
        ]
    )
    db.elders.insert_many(
        [{"elderId": elder_id(n), "name": f"Elder {n}", "language": "en"} for n in range(elders)]
    )
    text = "I was born in a small town by the river, and we had four cows and a dog. " * 4
    for start in range(0, elders, 100):
        db.answers.insert_many(
            [
                {
                    "elderId": elder_id(number),
                    "questionId": f"q{n}",
                    "answer": f"{number} {n} {text}",
                    "createdAt": answered_at,
                    "updatedAt": answered_at,
                }
                for number in range(start, min(start + 100, elders))
                for n in range(answers)
            ],
            ordered=False,
        )
    db.answers.create_index(recommended_index(LAYOUT))


def later(days: int) -> datetime:
    """Now, so many days on."""
    return datetime.now(UTC) + timedelta(days=days)
