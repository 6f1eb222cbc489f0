"""Automation as the UI shows it, and the stock backfill dialog over several elders."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from agent_assets.mongo.embedded.mongod import running_mongod
from agent_assets.mongo.retry import connect
from support.launch_dialog import choose_partitions

SHOTS = Path(__file__).resolve().parents[2] / "test-artifacts" / "ui"
MEMORIES = "assets/elder_companion/elder_memories"

pytestmark = pytest.mark.browser


def test_schedule_and_sensor_run_and_say_what_they_saw(ui: str, page: Page) -> None:
    page.goto(f"{ui}/locations/agent_assets/sensors/elders_sensor")
    expect(page.get_by_text("shared assets come first").first).to_be_visible(
        timeout=180_000
    )  # the cursor, in words
    reason = page.get_by_role("dialog").last.get_by_text("stale or missing").first
    # The list of ticks is drawn anew every few seconds, now and then under the click
    for _ in range(6):
        page.get_by_text("0 runs requested").last.click()
        page.wait_for_timeout(3_000)
        if reason.is_visible():
            break
    expect(reason).to_be_visible()
    page.screenshot(path=str(SHOTS / "sensor-tick.png"))
    page.goto(f"{ui}/locations/agent_assets/schedules/nightly_refresh")
    expect(page.get_by_text("0 runs requested").first).to_be_visible(timeout=180_000)
    page.screenshot(path=str(SHOTS / "schedule.png"))
    page.goto(f"{ui}/assets/elder_companion/sft_adapter?view=overview")
    expect(page.get_by_text("planned_missing").first).to_be_visible()
    expect(page.get_by_text("never built").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "plan-summary.png"))


def test_a_new_elder_gets_a_partition(ui: str, page: Page, home: Path) -> None:
    mongod = running_mongod(home / "mongodb")
    assert mongod is not None
    with connect(mongod.uri) as client:
        question = client.afs.questions.find_one()
        assert question is not None
        client.afs.answers.insert_one(
            {"elderId": "new-elder", "questionId": question["_id"], "answer": "I am new."}
        )
    new = page.get_by_text("new-elder").first
    deadline = time.monotonic() + 60
    while not new.count() and time.monotonic() < deadline:
        page.goto(f"{ui}/{MEMORIES}?view=partitions")
        page.wait_for_timeout(2_000)
    expect(new).to_be_visible()
    page.screenshot(path=str(SHOTS / "new-partition.png"))


def test_the_backfill_dialog_makes_one_run_per_elder(ui: str, page: Page) -> None:
    page.goto(f"{ui}/{MEMORIES}?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    choose_partitions(page, ["frederick-douglass", "shen-fu"])
    page.screenshot(path=str(SHOTS / "backfill-dialog.png"))
    page.get_by_role("button", name="Launch backfill").last.click()
    page.goto(f"{ui}/runs?view=backfills")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=180_000)
    page.screenshot(path=str(SHOTS / "backfill.png"))
    for elder in ("frederick-douglass", "shen-fu"):
        page.goto(f"{ui}/{MEMORIES}?view=partitions&partition={elder}")
        expect(page.get_by_text("never built before").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "built-and-why.png"))
