"""`agent-assets up` on a home of its own, and a real browser: started once for all tests of this
folder.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from agent_assets.free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
SHOTS = ROOT / "test-artifacts" / "ui"

# The schedule and the sensor look and report, and start no training.
AUTOMATION = """
nightly: {cron: "* * * * *", max_runs_per_tick: 0}
watch: {interval_s: 10, debounce_s: 0, max_runs_per_tick: 0}
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AGENT_ASSETS_HOME of the installation under test."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def ui(home: Path) -> Iterator[str]:
    """URL of `agent-assets up` with the sample elders; everything is gone afterwards."""
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed (deploy/test-packages.sh)")
    names = ("MONGODB_URI", "MONGODB_DATABASE", "DAGSTER_HOME", "AGENT_ASSETS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    settings = home / "automation.yaml"
    settings.write_text(AUTOMATION, encoding="utf-8")
    environment |= {"AGENT_ASSETS_HOME": str(home), "AGENT_ASSETS_AUTOMATION": str(settings)}
    command = [str(Path(sys.executable).parent / "agent-assets")]
    subprocess.run([*command, "seed"], env=environment, check=True, cwd=ROOT, timeout=120)
    port = free_port()
    process = subprocess.Popen(
        [*command, "up", "--port", str(port), "--api-port", str(free_port())],
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
    # mongod, the code server and the daemon all had this folder on their command line or open.
    left = subprocess.run(
        ["pgrep", "-f", str(home)], capture_output=True, text=True, check=False
    ).stdout.split()
    assert left == []


@pytest.fixture(
    scope="module"
)  # while it is open, nothing else in this process can run an event loop
def page(ui: str) -> Iterator[Page]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=60_000)  # a busy machine shows a page after many seconds
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*arguments, "--disable-sync"]
        )
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(30_000)
        page.goto(f"{ui}/assets")
        yield page
        browser.close()
