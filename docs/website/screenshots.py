"""Take the pictures of the site from the real pages, in a real browser.

Run: make screenshots      about two minutes; writes docs/images

The web app is the real one over a MongoDB of its own with two sample elders; Shen Fu is released, a
newer version of him is held back, and a model whose answers are written down stands in for the
trained one (tests/support/web_world.py). The Dagster UI is that of `agent-assets up` on an empty
home with the sample elders.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.retry import connect
from support.serving_world import World
from support.web_world import MOSQUITOES, SHEN_FU, memory_about, web_world

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
QUESTION, NEVER = "你还记得小时候的事情吗？", "您去过美国吗？"
CORRECTED = "我把蚊子当作仙鹤。"
# Nothing starts by itself while pictures are taken.
AUTOMATION = "nightly: {max_runs_per_tick: 0}\nwatch: {max_runs_per_tick: 0, interval_s: 10}\n"
COLORS = 128


@contextmanager
def web_app(folder: Path) -> Iterator[World]:
    """The API over a database of its own."""
    with (
        start_mongod(folder / "mongodb") as mongod,
        connect(mongod.uri) as client,
        web_world(folder / "home", mongod.uri, client["afs"]) as world,
    ):
        yield world


@contextmanager
def dagster_ui(home: Path) -> Iterator[str]:
    """Address of the Dagster UI of `agent-assets up` with the sample elders."""
    settings = home / "automation.yaml"
    settings.write_text(AUTOMATION, encoding="utf-8")
    names = ("MONGODB_URI", "MONGODB_DATABASE", "DAGSTER_HOME", "AGENT_ASSETS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"AGENT_ASSETS_HOME": str(home), "AGENT_ASSETS_AUTOMATION": str(settings)}
    program, port = str(Path(sys.executable).parent / "agent-assets"), free_port()
    subprocess.run([program, "seed"], env=environment, check=True, cwd=ROOT, timeout=120)
    process = subprocess.Popen(
        [program, "up", "--port", str(port), "--api-port", str(free_port())],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        if not any("Dagster UI: http" in line for line in process.stdout):
            sys.exit("`agent-assets up` ended by itself.")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)


def save(page: Page, name: str) -> None:
    """A picture in few colors: a tenth of the bytes, and nothing to see of it."""
    taken = Image.open(BytesIO(page.screenshot())).convert("RGB")
    taken.quantize(COLORS, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)
    print(f"{name}.png", flush=True)


def new_page(browser: Browser, language: str) -> Page:
    """A desktop whose owner reads a language."""
    page = browser.new_page(viewport={"width": 1200, "height": 760}, locale=language)
    page.set_default_timeout(60_000)
    return page


def look_around(page: Page, world: World) -> None:
    """The pages of the web app, in English."""
    page.goto(f"{world.client.base_url}/app")
    for _ in range(60):
        if "Looking for what is new" not in page.content():
            break
        page.wait_for_timeout(2_000)
        page.reload()
    save(page, "home")
    page.goto(f"{world.client.base_url}/app/agents/{SHEN_FU}")
    save(page, "versions")
    page.goto(f"{world.client.base_url}/app/review/{SHEN_FU}?at=1")
    save(page, "review")


def a_family_talks(page: Page, world: World) -> None:
    """The question of the old system's example, one about what was never told, and a thumb."""
    memory = memory_about(world, MOSQUITOES)
    world.model.call("get_memory", memory_id=memory.memory_id)
    world.model.text(f"记得。夏天蚊声如雷，我把蚊子当作群鹤。[{memory.memory_id}]")
    page.goto(f"{world.client.base_url}/app/chat/{SHEN_FU}")
    page.get_by_role("textbox").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".memory blockquote").last).to_have_text(memory.answer)
    save(page, "talk")
    world.model.text("这件事我没有讲过。")
    page.get_by_role("textbox").fill(NEVER)
    page.keyboard.press("Enter")
    expect(page.locator(".never")).to_contain_text("没有讲过")
    page.get_by_role("button", name="有不对的地方").last.click()
    page.get_by_label("沈复不会这样说话").check()
    page.get_by_label("沈复不会这样说话").scroll_into_view_if_needed()
    save(page, "mark")


def a_memory_is_corrected(page: Page, world: World) -> None:
    """In the words of whoever knows better."""
    page.goto(f"{world.client.base_url}/app/memories/{SHEN_FU}?q=群鹤")
    page.locator(".memory summary").click()
    page.locator(".memory textarea").fill(CORRECTED)
    save(page, "correct")
    page.get_by_role("button", name="保存更正").click()
    expect(page.get_by_role("status").first).to_contain_text("已更正")


def dagster(page: Page, ui: str) -> None:
    """The graph, and what an asset says of the plan."""
    asset = f"{ui}/assets/elder_companion"
    page.goto(f"{asset}/release?view=lineage&lineageScope=upstream&lineageDepth=5")
    expect(page.get_by_text("elder_memories").first).to_be_visible()
    page.wait_for_timeout(3_000)
    save(page, "dagster-lineage")
    page.goto(f"{ui}/locations/agent_assets/sensors/elders_sensor")
    expect(page.get_by_text(re.compile("shared assets come first")).first).to_be_visible()
    page.goto(f"{asset}/sft_adapter?view=overview")
    expect(page.get_by_text("planned_missing").first).to_be_visible()
    save(page, "dagster-plan")


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    expect.set_options(timeout=180_000)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        with web_app(Path(folder)) as world:
            look_around(new_page(browser, "en-GB"), world)
            family = new_page(browser, "zh-CN")
            a_family_talks(family, world)
            a_memory_is_corrected(family, world)
        home = Path(folder) / "dagster"
        home.mkdir()
        with dagster_ui(home) as ui:
            dagster(new_page(browser, "en-GB"), ui)
        browser.close()


if __name__ == "__main__":
    main()
