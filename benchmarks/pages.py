"""How long the pages of the web app take with many elders.

Run: python benchmarks/pages.py [--elders 10000] [--quick]

Every elder has a profile, three answers and a release; nothing is trained. The pages are asked for
over loopback, one after another, before, while and after the plan is looked up behind them.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pymongo.database import Database

from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.mongo.signatures import recommended_index
from agent_assets.release.records import Entry, Ledger
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import load_settings
from support.serving_world import PIPELINE, running_api

ANSWERS = 3
PAGES = (
    "/app",
    "/app?page=400",
    "/app?show=stale",
    "/app?q=elder-07",
    "/app/agents/elder-00042",
    "/app/memories/elder-00042",
    "/app/review/elder-00042",
)


def main() -> None:
    """Print milliseconds by page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elders", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="1,000 elders, 5 requests a page")
    arguments = parser.parse_args()
    elders, times = (1000, 5) if arguments.quick else (arguments.elders, 20)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with start_mongod(Path(folder) / "mongodb") as mongod, connect(mongod.uri) as client:
            seed(client["pages"], elders)
            release(home / "store", elders)
            settings = replace(
                load_settings({}),
                home=home,
                store=str(home / "store"),
                mongodb_uri=mongod.uri,
                mongodb_database="pages",
            )
            config = ServingConfig.model_validate({"requests_per_minute": 100_000})
            with running_api(settings, config) as (api, _):
                print(json.dumps({"elders": elders, **measure(api, times)}, indent=1))


def seed(db: "Database[dict[str, Any]]", elders: int) -> None:
    """Profiles, questions and answers."""
    now = datetime.now(UTC)
    ids = [f"elder-{number:05d}" for number in range(elders)]
    db["elders"].insert_many([{"elderId": e, "name": f"{e} Smith", "language": "en"} for e in ids])
    questions = [{"_id": f"q{n}", "questionText": f"Question {n}?"} for n in range(ANSWERS)]
    db["questions"].insert_many(questions)
    db["answers"].insert_many(
        {
            "elderId": elder,
            "questionId": f"q{n}",
            "answer": f"{elder} told {n} things of 1950.",
            "createdAt": now,
            "updatedAt": now,
        }
        for elder in ids
        for n in range(ANSWERS)
    )
    db["answers"].create_index(recommended_index(MongoLayout.service()))


def release(store: Path, elders: int) -> None:
    """A pointer for every elder."""
    folder = store / ".releases" / "current" / PIPELINE
    folder.mkdir(parents=True)
    for number in range(elders):
        elder = f"elder-{number:05d}"
        entry = Entry(
            version=f"{number:032x}",
            name=f"{elder}-{number:08x}",
            action="promote",
            at="2026-11-30T00:00:00+00:00",
            author="gate",
            reason="benchmark",
            elder=elder,
        )
        ledger = Ledger(pipeline=PIPELINE, agent=elder, current=entry, history=(entry,))
        (folder / f"{elder}.json").write_text(ledger.model_dump_json(), encoding="utf-8")


def measure(api: httpx.Client, times: int) -> dict[str, object]:
    """Milliseconds of each page: the first look of all, while the plan is made, and afterwards."""
    first = milliseconds(api, "/app")
    started, during = time.perf_counter(), []
    while "Looking for what is new" in api.get("/app", headers={"accept-language": "en"}).text:
        during.append(milliseconds(api, "/app"))
        time.sleep(0.2)
    looked = time.perf_counter() - started
    pages = {page: sorted(milliseconds(api, page) for _ in range(times)) for page in PAGES}
    return {
        "first": first,
        "plan_seconds": round(looked, 1),
        "while_the_plan_is_made": summary(sorted(during)),
        **{page: summary(taken) for page, taken in pages.items()},
    }


def milliseconds(api: httpx.Client, page: str) -> float:
    """How long one request takes."""
    started = time.perf_counter()
    reply = api.get(page)
    reply.raise_for_status()
    return round(1000 * (time.perf_counter() - started), 1)


def summary(taken: list[float]) -> dict[str, float]:
    """Median and slowest."""
    return {"p50": statistics.median(taken), "max": taken[-1]} if taken else {}


if __name__ == "__main__":
    main()
