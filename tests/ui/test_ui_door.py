"""The guard of the Dagster UI in a real browser: pages of other origins, the stock UI behind it,
one log-in.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent_assets.demo.run import seed_sample_elders
from support.installed import Installation, installation
from support.launch_dialog import choose_partitions
from support.local_http import LocalHandler, LocalServer
from support.waiting import wait_for

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).resolve().parents[2] / "test-artifacts" / "ui"
REBOUND = "rebound.example"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="chromium is not installed (deploy/test-packages.sh)"
    ),
]

PAGE = Path(__file__).with_name("other_origin.html")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("door")) as running:
        seed_sample_elders(running.settings, ["shen-fu"])
        running.instance.add_dynamic_partitions("elders", ["shen-fu"])
        yield running


@pytest.fixture(scope="module")
def browser(up: Installation) -> Iterator[Browser]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=30_000)
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-sync",
    ]
    arguments += ["--disable-component-update", f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    context.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_changes_and_reads_nothing(
    up: Installation, page: Page, name: str
) -> None:
    content = PAGE.read_text(encoding="utf-8").replace("UI", f"http://{name}:{up.ui}", 1).encode()

    class Handler(LocalHandler):
        def do_GET(self) -> None:
            self.reply(200, content, "text/html")

    page.goto(f"http://{name}:{up.ui}/")  # the person has the UI open, too
    expect(page.get_by_role("link", name="Catalog")).to_be_visible()
    with LocalServer(Handler).running() as server:
        page.goto(server.url.replace("127.0.0.1", name))
        outcomes = page.evaluate("attack()")
    opaque = {"get without reading", "text"}  # sent, refused, and the page cannot even see that
    assert {name_of_try: outcomes.pop(name_of_try) for name_of_try in opaque} == dict.fromkeys(
        opaque, "opaque"
    )
    assert outcomes.pop("frame") == "closed"
    assert set(outcomes.values()) == {"failed"} and len(outcomes) == 7, outcomes
    assert list(up.instance.get_dynamic_partitions("elders")) == ["shen-fu"]
    assert up.instance.get_latest_materialization_event(_key("energy_expert", "release")) is None


def test_a_name_that_was_bound_to_this_machine_shows_nothing(up: Installation, page: Page) -> None:
    reply = page.goto(f"http://{REBOUND}:{up.ui}/")
    assert reply is not None and reply.status == 403
    assert "other origins" in page.content() and "dagster" not in page.title().lower()
    read = page.evaluate("fetch('/graphql?query={version}').then(reply => reply.status)")
    assert read == 403


def test_the_stock_ui_launches_and_follows_a_run_through_the_guard(
    up: Installation, page: Page
) -> None:
    base = f"http://127.0.0.1:{up.ui}"
    page.goto(f"{base}/assets/elder_companion/elder_memories?view=partitions")
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    choose_partitions(page, ["shen-fu"])
    with page.expect_response(
        lambda answer: "launch" in (answer.request.post_data or "").lower()
    ) as launched:
        page.get_by_role("button", name=re.compile("Launch")).last.click()
    assert launched.value.status == 200
    (run,) = wait_for(up.instance.get_runs, 60)
    frames: list[str] = []
    page.on(
        "websocket", lambda live: live.on("framereceived", lambda frame: frames.append(str(frame)))
    )
    page.goto(f"{base}/runs/{run.run_id}")
    expect(page.get_by_text("ASSET_MATERIALIZATION").first).to_be_visible(timeout=90_000)

    def told_live() -> bool:
        page.wait_for_timeout(200)  # Playwright hands events over while it waits
        return any('"type":"data"' in frame for frame in frames)

    wait_for(told_live, 60)
    page.screenshot(path=str(SHOTS / "run-behind-the-guard.png"))


def test_one_log_in_for_the_ui_and_the_api(up: Installation, page: Page) -> None:
    token_store = up.tokens()
    admin, reader = token_store.create("admin"), token_store.create("read")
    base = f"http://127.0.0.1:{up.ui}"
    wait_for(lambda: page.request.get(f"{base}/server_info").status == 401, 30)
    page.goto(f"{base}/assets/elder_companion/elder_memories?view=partitions")
    expect(page.get_by_label("Token")).to_be_focused()
    page.screenshot(path=str(SHOTS / "log-in.png"))
    page.get_by_label("Token").fill("aa_00000000_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(reader)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("elder_memories"))
    expect(page.get_by_text("shen-fu").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Materialize")).first).to_be_disabled()
    page.screenshot(path=str(SHOTS / "reader.png"))
    # The API, on another port, knows the same person.
    api = f"http://127.0.0.1:{up.api}"
    page.goto(f"{api}/docs")
    status = (
        "path => fetch(path, {method: path === '/models' ? 'GET' : 'POST'}).then(reply "
        "=> "
        "reply.status)"
    )
    assert page.evaluate(status, "/models") == 200
    assert page.evaluate(status, "/train/cancel/x") == 403  # a reader
    page.goto(f"{api}/login")
    page.screenshot(path=str(SHOTS / "logged-in.png"))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{base}/runs")
    page.get_by_label("Token").fill(admin)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{base}/runs")
    page.goto(f"{base}/assets/elder_companion/elder_memories?view=partitions")
    expect(page.get_by_role("button", name=re.compile("Materialize")).first).to_be_enabled()
    token_store.revoke(admin.split("_")[1])
    wait_for(lambda: page.request.get(f"{base}/server_info").status == 401, 30)
    token_store.close()


def test_a_link_of_another_site_leads_to_the_page_for_who_is_logged_in(
    up: Installation, page: Page
) -> None:
    """The cookie is not sent with the first request after such a link (SameSite)."""
    token_store = up.tokens()
    admin, base = token_store.create("admin"), f"http://127.0.0.1:{up.ui}"
    token_store.close()
    page.goto(f"{base}/login")
    page.get_by_label("Token").fill(admin)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Catalog")).to_be_visible()

    class Handler(LocalHandler):
        def do_GET(self) -> None:
            self.reply(200, f'<a href="{base}/runs">to the run</a>'.encode(), "text/html")

    with LocalServer(Handler).running() as server:
        page.goto(server.url.replace("127.0.0.1", "localhost"))
        page.get_by_text("to the run").click()
        expect(page).to_have_url(f"{base}/runs")
        expect(page.get_by_role("link", name="Catalog")).to_be_visible()


def _key(*parts: str) -> dg.AssetKey:
    import dagster as dg

    return dg.AssetKey([*parts])
