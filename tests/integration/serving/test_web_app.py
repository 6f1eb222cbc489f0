"""The pages below `/app` over real HTTP: what a family reads, and who is kept out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pymongo.database import Database

from agent_assets.reviews import decisions
from agent_assets.reviews.decisions import content_id, decision_versions, decisions_of
from agent_assets.serving import app as serving_app
from agent_assets.serving.webapp.words import CATALOGS
from support.mongo_fixtures import Document
from support.serving_world import PIPELINE, World, bearer
from support.waiting import wait_for
from support.web_world import (
    MOSQUITOES,
    SHEN_FU,
    WRONG_ANSWER,
    WRONG_QUESTION,
    memory_about,
    web_world,
)


@pytest.fixture(scope="module")
def db(mongo_client: Any) -> Iterator[Database[Document]]:
    name = "agent_assets_test_web_app"
    mongo_client.drop_database(name)
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, mongo_uri: str, db: Database[Document]
) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_app, "DATABASE", db.name)
        patch.setattr(decisions, "DATABASE", db.name)
        with web_world(tmp_path_factory.mktemp("web"), mongo_uri, db) as world:
            yield world


def home(world: World, **query: str) -> str:
    """The front page after a look at everything."""

    def looked() -> str:
        reply = world.client.get("/app", params={"lang": "en", **query})
        assert reply.status_code == 200, reply.text
        return "" if "Looking for what is new" in reply.text else reply.text

    return wait_for(looked, 60)


def csrf_of(page: str) -> str:
    (token,) = re.findall(r'<meta name="csrf" content="([0-9a-f]+)">', page)
    return str(token)


def ask(world: World, message: str) -> dict[str, Any]:
    page = world.client.get(f"/app/chat/{SHEN_FU}").text
    reply = world.client.post(
        f"/app/chat/{SHEN_FU}/stream",
        json={"message": message},
        headers={"x-csrf-token": csrf_of(page), "accept-language": "en"},
    )
    assert reply.status_code == 200, reply.text
    events = [part.splitlines() for part in reply.text.strip().split("\n\n")]
    assert events[-1][0] == "event: result", reply.text
    result: dict[str, Any] = json.loads(events[-1][1].removeprefix("data: "))
    return result


def test_both_languages_say_everything_with_the_same_values() -> None:
    def values(text: str) -> set[str]:
        return set(re.findall(r"{(\w+)}", text))

    english, chinese = CATALOGS["en"], CATALOGS["zh"]
    assert list(english) == list(chinese)
    assert {key for key in english if values(english[key]) != values(chinese[key])} == set()


def test_the_front_page_says_in_words_who_answers_and_who_never_learned(web: World) -> None:
    cards = home(web).split('<li class="card">')[1:]
    by_name = {re.findall("<h2><a [^>]*>(.*?)</a></h2>", card)[0]: card for card in cards}
    shen_fu, franklin = by_name["沈复"], by_name["Benjamin Franklin"]
    assert "Answers now" in shen_fu and "says so in 6 of 12 cases" in shen_fu
    assert "0.25" not in shen_fu  # the figures are for the report
    assert "Never learned" in franklin and "Learn now" in franklin
    assert "Talk" not in franklin and "Talk to 沈复" in shen_fu


def test_a_search_finds_by_name_and_says_when_nobody_matches(web: World) -> None:
    assert "沈复" in home(web, q="沈") and "Franklin" not in home(web, q="沈")
    assert "Nobody matches" in home(web, q="nobody of this name")


def test_the_language_is_the_browsers_until_somebody_chooses(web: World) -> None:
    browser = {"accept-language": "fr;q=0.9, zh-CN;q=0.8, en;q=0.1"}
    assert '<html lang="zh">' in httpx.get(f"{web.client.base_url}/app", headers=browser).text
    chosen = httpx.get(f"{web.client.base_url}/app?lang=en", headers=browser)
    assert '<html lang="en">' in chosen.text
    again = httpx.get(f"{web.client.base_url}/app", headers=browser, cookies=chosen.cookies)
    assert '<html lang="en">' in again.text


def test_an_answer_comes_with_the_memory_it_rests_on_in_the_elders_own_words(web: World) -> None:
    memory = memory_about(web, MOSQUITOES)
    web.model.call("get_memory", memory_id=memory.memory_id)
    web.model.text(f"我把蚊子当作群鹤。[{memory.memory_id}]")
    result = ask(web, "您小时候怎么玩蚊子？")
    (card,) = result["memories"]
    assert card["answer"] == memory.answer and card["told_by"] == "told by 沈复"
    assert re.fullmatch(r"\d+ January 2024", card["date"])
    assert (result["never_told"], result["unfounded"]) == (False, False)


def test_what_was_never_told_is_shown_as_such_and_what_nothing_supports_as_well(
    web: World,
) -> None:
    web.model.text("这件事我没有讲过。")
    result = ask(web, "您去过美国吗？")
    assert (result["never_told"], result["memories"]) == (True, [])
    web.model.text("我在纽约住了十年。")
    assert ask(web, "您去过美国吗？")["unfounded"]


def test_a_mark_is_kept_with_what_was_asked_and_answered(
    web: World, db: Database[Document]
) -> None:
    page = web.client.get(f"/app/chat/{SHEN_FU}").text
    marked = {
        "question": "您去过美国吗？",
        "answer": "我在纽约住了十年。",
        "model_name": "shen-fu-00000001",
        "memory_ids": [],
        "verdict": "wrong",
        "reason": "not_told",
        "comment": "他没有出过国",
    }
    address = f"/app/chat/{SHEN_FU}/marks"
    for verdict in ("right", "wrong"):  # who thinks again replaces the mark
        reply = web.client.post(
            address, json=marked | {"verdict": verdict}, headers={"x-csrf-token": csrf_of(page)}
        )
        assert reply.status_code == 204, reply.text
    (kept,) = db["reviews"].find({"kind": "chat"})
    assert (kept["kind"], kept["verdict"], kept["agent"]) == ("chat", "wrong", SHEN_FU)
    assert kept["comment"] == "他没有出过国"


@pytest.mark.parametrize("token", ["", "0" * 32])
def test_nothing_is_done_for_a_form_that_is_not_ours(web: World, token: str) -> None:
    forms = (f"/app/agents/{SHEN_FU}/refresh", "/app/jobs/x/cancel", "/app/log-out")
    for address in forms:
        assert web.client.post(address, data={"csrf": token}).status_code == 403
    body = {"message": "hi"}
    streamed = f"/app/chat/{SHEN_FU}/stream"
    assert web.client.post(streamed, json=body, headers={"x-csrf-token": token}).status_code == 403


def test_every_page_runs_no_script_but_ours(web: World) -> None:
    for address in ("/app", f"/app/chat/{SHEN_FU}", "/app/chat/nobody"):
        reply = web.client.get(address)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "style=" not in reply.text and "onclick" not in reply.text


def test_who_is_not_there_is_a_page_that_says_so(web: World) -> None:
    address = f"{web.client.base_url}/app/chat/nobody"
    reply = httpx.get(address, headers={"accept-language": "zh"})
    assert reply.status_code == 404 and "这里什么也没有" in reply.text


def test_versions_stand_side_by_side_and_an_admin_goes_back(web: World) -> None:
    page = web.client.get(f"/app/agents/{SHEN_FU}?lang=en").text
    assert "Did not pass the check" in page and "answers now" in page
    versions = re.findall(r'name="version" value="([0-9a-f]+)"', page)
    (earlier,) = versions  # the one that was only judged never answered
    address = f"/app/agents/{SHEN_FU}/rollback"
    form = {"csrf": csrf_of(page), "pipeline": PIPELINE, "version": earlier, "reason": "worse"}
    reply = web.client.post(address, data=form)
    assert reply.status_code == 303, reply.text
    page = web.client.get(reply.headers["location"] + "&lang=en").text
    assert "The earlier version answers from now on" in page
    assert "Brought back on" in page and "worse" in page
    (later,) = re.findall(r'name="version" value="([0-9a-f]+)"', page)
    web.client.post(address, data=form | {"version": later})


def test_a_report_is_shown_alone_and_no_other_file_of_the_store_is(web: World) -> None:
    folder = f"/app/files/{PIPELINE}/train_jsonl/{SHEN_FU}/{'9' * 32}"
    reply = web.client.get(f"{folder}/report.html")
    assert reply.status_code == 200 and "rows" in reply.text
    assert "sandbox allow-scripts" in reply.headers["content-security-policy"]
    for name in ("train.jsonl", "manifest.json", "..%2f..%2freport.html", "plots/loss.png"):
        assert web.client.get(f"{folder}/{name}").status_code == 404


def review_of(world: World, **query: str) -> str:
    reply = world.client.get(f"/app/review/{SHEN_FU}", params={"lang": "en", **query})
    assert reply.status_code == 200, reply.text
    return reply.text


def decide(world: World, page: str, verdict: str, **more: str) -> None:
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    form = fields | {"csrf": csrf_of(page), "verdict": verdict, "reviewer": "小明", **more}
    reply = world.client.post(f"/app/review/{SHEN_FU}", data=form)
    assert reply.status_code == 303, reply.text


def test_a_reviewer_goes_from_turn_to_turn_and_the_plan_says_because_of_how_many(
    web: World, db: Database[Document]
) -> None:
    page = review_of(web)
    assert "1 of 2" in page and "苏州" in page
    decide(web, page, "right")
    page = review_of(web)
    assert WRONG_ANSWER in page and 'value="小明"' in page  # the name is kept
    decide(web, page, "wrong", comment="没有去过")
    page = review_of(web, place="heldout")
    decide(web, page, "edited", edited="我把蚊子当作群鹤。")
    decided = decisions_of(db, SHEN_FU)
    assert decided == {
        content_id(WRONG_QUESTION, WRONG_ANSWER): None,
        content_id("您小时候怎么玩蚊子？", "群鹤。"): "我把蚊子当作群鹤。",
    }
    assert decision_versions(db)[SHEN_FU].startswith("2-")
    assert "Nothing is left" in review_of(web)
    page = review_of(web, show="decided", at="1")
    assert "小明: wrong" in page and "没有去过" in page
    decide(web, page, "again")
    assert len(decisions_of(db, SHEN_FU)) == 1


def test_a_thumb_from_a_conversation_waits_for_a_reviewer(web: World) -> None:
    page = review_of(web, place="chat")
    assert "It was never told" in page and "他没有出过国" in page
    decide(web, page, "wrong")
    assert "Nothing is left" in review_of(web, place="chat")


def memories_of(world: World, **query: str) -> str:
    reply = world.client.get(f"/app/memories/{SHEN_FU}", params={"lang": "en", **query})
    assert reply.status_code == 200, reply.text
    return reply.text


def test_a_memory_is_found_corrected_withdrawn_and_added(
    web: World, db: Database[Document]
) -> None:
    memory = memory_about(web, MOSQUITOES)
    page = memories_of(web, q="群鹤")
    assert page.count("<figure") == 1 and memory.answer in page
    address, known = (
        f"/app/memories/{SHEN_FU}",
        {"csrf": csrf_of(page), "memory_id": memory.memory_id},
    )
    corrected = known | {"do": "correct", "answer": "我把蚊子当作仙鹤。"}
    assert web.client.post(address, data=corrected).status_code == 303
    page = memories_of(web, q="仙鹤")
    assert page.count("<figure") == 1 and memory.memory_id in page  # the same memory
    stored = db["answers"].find_one({"answer": "我把蚊子当作仙鹤。"})
    assert stored is not None and stored["updatedAt"] > stored["createdAt"]
    withdrawn = known | {"do": "withdraw"}
    assert web.client.post(address, data=withdrawn).status_code == 303
    assert web.client.post(address, data=withdrawn).status_code == 422  # it is gone
    page = memories_of(web, q="仙鹤")
    assert "0 memories found" in page
    question = re.findall(r'<option value="([^"]+)">您小时候怎么玩蚊子？', page)[0]
    added = known | {"do": "add", "question": question, "answer": memory.answer}
    assert web.client.post(address, data=added).status_code == 303
    assert memory.answer in memories_of(web, q="群鹤")


def test_with_tokens_a_person_logs_in_and_sees_their_elder_alone(web: World) -> None:
    token = web.tokens.create("elder", elder=SHEN_FU)
    with httpx.Client(base_url=web.client.base_url) as browser:
        wait_for(lambda: browser.get("/app").status_code == 303, 20)
        reply = browser.get(f"/app/chat/{SHEN_FU}?lang=en")
        assert (
            reply.headers["location"] == f"/app/log-in?next=%2Fapp%2Fchat%2F{SHEN_FU}%3Flang%3Den"
        )
        wrong = browser.post("/app/log-in", data={"token": "aa_1_2"})
        assert wrong.status_code == 401 and 'role="alert"' in wrong.text
        elsewhere = {"token": token, "next": "//evil.example/app"}
        entered = browser.post("/app/log-in", data=elsewhere)
        assert (entered.status_code, entered.headers["location"]) == (303, "/app")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        page = browser.get("/app?lang=en").text
        assert "沈复" in page and "Franklin" not in page
        assert browser.get("/app/chat/benjamin-franklin").status_code == 404
        left = browser.post("/app/log-out", data={"csrf": csrf_of(page)})
        assert left.status_code == 303 and browser.get("/app").status_code == 303
    looks = bearer(web.tokens.create("read"))
    page = web.client.get("/app?lang=en", headers=looks).text
    assert "Benjamin Franklin" in page and '<button class="second" type="submit" aria' not in page
    assert web.client.get(f"/app/chat/{SHEN_FU}", headers=looks).status_code == 403
