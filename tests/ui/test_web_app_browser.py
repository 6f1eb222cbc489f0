"""A family in a real browser: log in, talk with Shen Fu, mark an answer, correct a memory, review.
Every page is looked at by axe, on a desktop in Chinese and on a phone in English.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pymongo.database import Database

from agent_assets.reviews import decisions
from agent_assets.serving import app as serving_app
from support.serving_world import World
from support.waiting import wait_for
from support.web_world import MOSQUITOES, SHEN_FU, WRONG_ANSWER, memory_about, web_world

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).resolve().parents[2] / "test-artifacts" / "app"
ASKED = "你还记得小时候的事情吗？"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="chromium is not installed (deploy/test-packages.sh)"
    ),
]


@pytest.fixture
def web(
    tmp_path: Path, mongo_uri: str, mongo_db: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(serving_app, "DATABASE", mongo_db.name)
    monkeypatch.setattr(decisions, "DATABASE", mongo_db.name)
    with web_world(tmp_path, mongo_uri, mongo_db) as world:
        yield world


@pytest.fixture
def browser() -> Iterator[Browser]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-sync"]
        )
        yield started
        started.close()


def look(page: Page, name: str) -> None:
    """A picture, and what axe finds."""
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    report = Axe().run(page)
    assert report.violations_count == 0, f"{name}: {report.generate_report()}"


def ask(world: World, page: Page) -> None:
    memory = memory_about(world, MOSQUITOES)
    world.model.call("get_memory", memory_id=memory.memory_id)
    world.model.text(f"记得。夏天蚊声如雷，我把蚊子当作群鹤。[{memory.memory_id}]")
    page.get_by_role("textbox").fill(ASKED)
    page.keyboard.press("Enter")
    expect(page.locator(".memory blockquote").last).to_have_text(memory.answer)


def test_a_family_talks_marks_corrects_and_reviews(
    web: World, browser: Browser, mongo_db: Database[Any]
) -> None:
    token = web.tokens.create("elder", elder=SHEN_FU)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None,
    )
    page.goto(f"{web.client.base_url}/app")
    look(page, "log-in-zh")
    page.get_by_label("令牌").fill(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="沈复")).to_be_visible()
    wait_for(lambda: page.reload() and "正在查看" not in page.content(), 30)
    look(page, "home-zh")

    page.get_by_role("link", name="和沈复聊天").click()
    ask(web, page)
    web.model.text("这件事我没有讲过。")
    page.get_by_role("textbox").fill("您去过美国吗？")
    page.get_by_role("button", name="发送").click()
    expect(page.locator(".never")).to_contain_text("没有讲过")
    page.get_by_role("button", name="有不对的地方").last.click()
    page.get_by_label("沈复不会这样说话").check()
    look(page, "talk-zh")
    page.get_by_role("button", name="提交").click()
    expect(page.get_by_text("谢谢")).to_be_visible()
    page.reload()
    expect(page.locator(".turn")).to_have_count(4)  # the tab remembers, and nobody else
    assert [mark["reason"] for mark in mongo_db["reviews"].find()] == ["manner"]

    page.goto(f"{web.client.base_url}/app/agents/{SHEN_FU}")
    look(page, "versions-zh")
    page.get_by_role("link", name="沈复的回忆").click()
    page.get_by_role("searchbox").fill("群鹤")
    page.keyboard.press("Enter")
    page.locator(".memory summary").click()
    page.locator(".memory textarea").fill("我把蚊子当作仙鹤。")
    look(page, "memories-zh")
    page.get_by_role("button", name="保存更正").click()
    expect(page.get_by_role("status").first).to_contain_text("已更正")

    page.goto(f"{web.client.base_url}/app/review/{SHEN_FU}?at=1")
    expect(page.locator(".answer")).to_have_text(WRONG_ANSWER)
    page.get_by_label("您的名字").fill("小明")
    look(page, "review-zh")
    page.locator("h1").click()
    page.keyboard.press("w")
    expect(page.locator("#progress-label")).to_contain_text("1 / 2")
    assert decisions.decision_versions(mongo_db)[SHEN_FU].startswith("1-")

    phone = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    phone.add_cookies([dict(cookie) for cookie in context.cookies()])  # type: ignore[misc]
    small = phone.new_page()
    pages = {"home": "", "talk": f"/chat/{SHEN_FU}", "versions": f"/agents/{SHEN_FU}"}
    pages |= {"memories": f"/memories/{SHEN_FU}", "review": f"/review/{SHEN_FU}"}
    for name, path in pages.items():
        small.goto(f"{web.client.base_url}/app{path}")
        if name == "talk":
            ask(web, small)
        look(small, f"{name}-en-phone")
        width = small.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{name} is {width} px wide"
    assert problems == []
