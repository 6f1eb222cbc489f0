"""A fleet whose elders live in MongoDB, with a clock and ticks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from agent_assets.automation import ticks
from agent_assets.automation.config import AutomationConfig
from agent_assets.automation.ticks import Tick
from support.fleet import NAMES, SHARED, Fleet, materialized

Db = Database[dict[str, Any]]
ADA, BEN, SHEN = "frederick-douglass", "benjamin-franklin", "shen-fu"
ELDER = {name for name in NAMES if name not in SHARED}
CONFIG = AutomationConfig.model_validate({"removed_elders": {"max_share": 1.0}})
START = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


class Town(Fleet):
    """A fleet whose elders live in MongoDB, with a clock and ticks."""

    clock: datetime = START
    config: AutomationConfig = CONFIG

    @property
    def db(self) -> Db:
        assert self.mongo is not None
        return self.mongo.db

    def wait(self, **span: float) -> None:
        self.clock += timedelta(**span)

    def watch(self) -> Tick:
        return ticks.watch(self.installation(), self.instance, self.config, self.clock)

    def night(self) -> Tick:
        date = self.clock.date().isoformat()
        return ticks.night(self.installation(), self.instance, self.config, self.clock, date=date)

    def execute(self, tick: Tick) -> dict[str | None, set[tuple[str, str | None]]]:
        """Run what a tick asked for, as the daemon would."""
        done = {}
        for request in tick.requests:
            elder = request.run.partition
            tags = {**tick.run_tags[request.run_key], "dagster/run_key": request.run_key}
            result = self.materialize(elder, request.assets, tags=tags)
            done[elder] = materialized(result, elder)
        return done

    def on_materialized(self) -> None:
        """Nights until nothing is left to do."""
        for _ in range(4):
            self.wait(days=1)
            self.execute(self.night())
        self.wait(hours=1)

    def tell(self, elder: str, text: str, *, moved: bool = True) -> None:
        change: dict[str, Any] = {"answer": text}
        if moved:
            change["updatedAt"] = self.clock
        self.db.answers.update_one({"elderId": elder}, {"$set": change})
