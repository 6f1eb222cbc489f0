"""How long the pages of the web app take with many elders.

PYTHONPATH=tests python benchmarks/pages.py [--quick]

Every elder has a profile, three answers and a release; nothing is trained. The pages are asked for
over loopback, one after another, before, while and after the plan is looked up behind them. The
last line is one JSON object, in milliseconds:
first                     the front page, asked for before anything was looked up
while_the_plan_is_made    the front page meanwhile: p50 and slowest
<page>                    p50 and slowest of 20 requests
slow                      pages whose p50 is 200 ms or more
"""

import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from plan import machine
from pymongo.database import Database
from quick import is_quick

from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.mongo.signatures import recommended_index
from agent_assets.release.records import Entry, Ledger
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactStore
from support.serving_world import PIPELINE, add_agent, running_api

ANSWERS, SLOW_MS = 3, 200
ASKED = "elder-00042"
PAGES = (
    "/app",
    "/app?page=400",
    "/app?show=stale",
    "/app?q=elder-07",
    f"/app/agents/{ASKED}",
    f"/app/memories/{ASKED}",
    f"/app/review/{ASKED}",
    f"/app/chat/{ASKED}",
)


def main() -> None:
    """Print milliseconds by page."""
    quick = is_quick(__doc__, "1,000 elders, 5 requests a page")
    elders, times = (1000, 5) if quick else (10_000, 20)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with start_mongod(Path(folder) / "mongodb") as mongod, connect(mongod.uri) as client:
            seed(client["pages"], elders)
            release(home / "store", elders)
            add_agent(ArtifactStore(str(home / "store")), ASKED, 42)  # who is talked to has files
            settings = replace(
                load_settings({}),
                home=home,
                store=str(home / "store"),
                mongodb_uri=mongod.uri,
                mongodb_database="pages",
            )
            config = ServingConfig.model_validate({"requests_per_minute": 100_000})
            with running_api(settings, config) as (api, _):
                command = "python benchmarks/pages.py" + quick * " --quick"
                head = {"command": command, "machine": machine(), "elders": elders}
                print(json.dumps(head | measure(api, times)))


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
    pages = {}
    for page in PAGES:
        pages[page] = sorted(milliseconds(api, page) for _ in range(times))
        print(f"{page}: {summary(pages[page])}", flush=True)
    return {
        "first": first,
        "plan_seconds": round(looked, 1),
        "while_the_plan_is_made": summary(sorted(during)),
        **{page: summary(taken) for page, taken in pages.items()},
        "slow": [page for page, taken in pages.items() if statistics.median(taken) >= SLOW_MS],
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
