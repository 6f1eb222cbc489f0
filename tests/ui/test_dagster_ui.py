"""The Dagster UI as a person uses it: `agent-assets up`, a real browser, one elder materialized."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.launch_dialog import choose_partitions

SHOTS = Path(__file__).resolve().parents[2] / "test-artifacts" / "ui"

pytestmark = pytest.mark.browser


def test_the_assets_of_both_pipelines_are_there(ui: str, page: Page) -> None:
    shown = {
        "elder_companion/elder_memories": "The answers of one elder",
        "elder_companion/sft_adapter": "LoRA adapter trained on train.jsonl",
        "energy_expert/mcp_tool_schema": "Snapshot of every tool",
        "energy_expert/eval_report": "Base, SFT and (where there is one) RL model on the same "
        "held-out items",
    }
    for asset, description in shown.items():
        page.goto(f"{ui}/assets/{asset}?view=overview")
        expect(page.get_by_text(description).first).to_be_visible()
    page.screenshot(path=str(SHOTS / "asset.png"))
    page.goto(
        f"{ui}/assets/elder_companion/sft_adapter?view=lineage&lineageScope=upstream&lineageDepth=3"
    )
    expect(page.get_by_text("elder_memories").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "lineage.png"))


def test_one_elder_is_materialized_and_its_metadata_is_shown(ui: str, page: Page) -> None:
    """The memories of one elder, with the stock dialog; then the page shows counts, never the
    memories.
    """
    page.goto(f"{ui}/assets/elder_companion/elder_memories?view=partitions")
    expect(page.get_by_text("benjamin-franklin").first).to_be_visible()
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    choose_partitions(page, ["benjamin-franklin"])
    page.screenshot(path=str(SHOTS / "materialize-dialog.png"))
    with page.expect_response(lambda answer: "launch" in (answer.request.post_data or "").lower()):
        page.get_by_role("button", name=re.compile("Launch")).last.click()
    page.goto(f"{ui}/runs")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=90_000)
    page.screenshot(path=str(SHOTS / "runs.png"))
    page.goto(
        f"{ui}/assets/elder_companion/elder_memories?view=partitions&partition=benjamin-franklin"
    )
    expect(page.get_by_text("never built before").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "metadata.png"))
    assert "Philadelphia" not in page.content()
