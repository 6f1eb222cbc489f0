"""The Dagster UI as a person uses it: `agent-assets up`, a real browser, one elder materialized."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
SHOTS = ROOT / "test-artifacts" / "ui"
PIPELINES = ("elder_companion", "energy_expert")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed (deploy/test-packages.sh)"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`agent-assets up` on a home of its own, with the sample elders; everything is gone afterwards."""
    home = tmp_path_factory.mktemp("home")
    names = ("MONGODB_URI", "MONGODB_DATABASE", "DAGSTER_HOME", "AGENT_ASSETS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["AGENT_ASSETS_HOME"] = str(home)
    command = [str(Path(sys.executable).parent / "agent-assets")]
    subprocess.run([*command, "seed"], env=environment, check=True, cwd=ROOT, timeout=120)
    port = free_port()
    process = subprocess.Popen(
        [*command, "up", "--port", str(port)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Dagster UI: http" in line:
                break
        assert lines and "Dagster UI" in lines[-1], "".join(lines)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    # mongod, the code server, the webserver and the daemon all had this folder on their command line or open.
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False).stdout.split()
    assert left == []


@pytest.fixture(scope="module")
def page(ui: str) -> Iterator[Page]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*arguments, "--disable-sync"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(30_000)
        page.goto(f"{ui}/assets")
        skip = page.get_by_role("button", name="Skip")
        if skip.count() or _appears(skip):
            skip.click()
        yield page
        browser.close()


def _appears(locator: object, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if locator.count():  # type: ignore[attr-defined]
            return True
        time.sleep(0.2)
    return False


def test_the_assets_of_both_pipelines_are_there(ui: str, page: Page) -> None:
    shown = {
        "elder_companion/elder_memories": "The answers of one elder",
        "elder_companion/sft_adapter": "LoRA adapter trained on train.jsonl",
        "energy_expert/mcp_tool_schema": "Snapshot of every tool",
        "energy_expert/eval_report": "Base, SFT and (where there is one) RL model on the same held-out items",
    }
    for asset, description in shown.items():
        page.goto(f"{ui}/assets/{asset}?view=overview")
        expect(page.get_by_text(description).first).to_be_visible()
    page.screenshot(path=str(SHOTS / "asset.png"))
    page.goto(f"{ui}/assets/elder_companion/sft_adapter?view=lineage&lineageScope=upstream&lineageDepth=3")
    expect(page.get_by_text("elder_memories").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "lineage.png"))


def test_one_elder_is_materialized_and_its_metadata_is_shown(ui: str, page: Page) -> None:
    """The memories of one elder, with the stock dialog; then the page shows counts, never the memories."""
    page.goto(f"{ui}/assets/elder_companion/elder_memories?view=partitions")
    expect(page.get_by_text("benjamin-franklin").first).to_be_visible()
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    dialog = page.get_by_role("dialog").last
    expect(dialog).to_be_visible()
    dialog.get_by_text("Select a partition or create one").click()
    page.get_by_text("benjamin-franklin").locator("visible=true").last.click()
    page.get_by_text("Launch runs to materialize").click()  # closes the list of partitions
    page.screenshot(path=str(SHOTS / "materialize-dialog.png"))
    with page.expect_response(lambda answer: "launch" in (answer.request.post_data or "").lower()):
        page.get_by_role("button", name=re.compile("Launch")).last.click()
    page.goto(f"{ui}/runs")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=90_000)
    page.screenshot(path=str(SHOTS / "runs.png"))
    page.goto(f"{ui}/assets/elder_companion/elder_memories?view=partitions&partition=benjamin-franklin")
    expect(page.get_by_text("never built before").first).to_be_visible()
    page.screenshot(path=str(SHOTS / "metadata.png"))
    assert "Philadelphia" not in page.content()
