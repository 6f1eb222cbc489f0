"""The agent of a pipeline without elders, asked over real HTTP with its own tool server."""

from dataclasses import replace

import openai
import pytest

from agent_assets.release.pointer import note_verdict
from agent_assets.release.records import Verdict
from support.serving_world import EXPERT, World, add_expert, bearer, problem


@pytest.fixture
def expert(world: World) -> World:
    add_expert(world.store, 9)
    return world


def test_every_token_may_ask_it_and_only_an_admin_sees_more(expert: World) -> None:
    mine = bearer(expert.tokens.create("elder", elder="ada"))
    admin = bearer(expert.tokens.create("admin"))
    expert.model.call("get_current_date")
    expert.model.text("Today.")
    body = {"agent_id": EXPERT, "message": "What day is it?"}
    reply = expert.client.post("/chat", json=body, headers=mine)
    assert (reply.status_code, reply.json()["response"]) == (200, "Today."), reply.text
    assert reply.json()["elder_id"] == EXPERT and reply.json()["memory_ids"] == []
    asked, told = expert.model.requests
    assert asked["messages"][0]["content"] == "You are a natural gas expert."
    assert "get_lng_price" in {tool["function"]["name"] for tool in asked["tools"]}
    assert told["messages"][-1]["role"] == "tool" and "20" in told["messages"][-1]["content"]
    listed = expert.client.get("/v1/models", headers=mine).json()["data"]
    assert [model["id"] for model in listed] == ["ada", EXPERT]
    for path in (f"/models/{EXPERT}", f"/models/{EXPERT}/export", f"/export-jsonl/{EXPERT}"):
        problem(expert.client.get(path, headers=mine), 404)
    assert expert.client.get(f"/models/{EXPERT}", headers=admin).status_code == 200
    closed = replace(expert.services, open_to_all=lambda name: False)
    caller = expert.tokens.check(mine["Authorization"].removeprefix("Bearer "))
    assert expert.services.may_ask(caller, (EXPERT, EXPERT))
    assert not closed.may_ask(caller, (EXPERT, EXPERT))
    assert not expert.services.may_ask(caller, ("elder_companion", EXPERT))


def test_openais_client_gets_its_own_tools_unless_it_brings_some(expert: World) -> None:
    url = str(expert.client.base_url.copy_with(path="/v1"))
    client = openai.OpenAI(base_url=url, api_key="EMPTY", max_retries=0)
    question: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "What day is it?"}
    ]
    for stream in (False, True):
        expert.model.call("get_current_date")
        expert.model.text("Today.")
        if stream:
            chunks = list(
                client.chat.completions.create(model=EXPERT, messages=question, stream=True)
            )
            texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
            assert "".join(texts) == "Today." and chunks[-1].choices[0].finish_reason == "stop"
        else:
            whole = client.chat.completions.create(model=EXPERT, messages=question)
            assert whole.choices[0].message.content == "Today."
    expert.model.call("weather", city="Ulm")
    own = client.chat.completions.create(
        model=EXPERT,
        messages=question,
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
    )
    calls = own.choices[0].message.tool_calls
    assert calls is not None and calls[0].id


def test_whom_a_message_is_for_has_to_be_said_once(world: World) -> None:
    for body in ({}, {"elder_id": "ada", "agent_id": "ben"}):
        assert world.client.post("/chat", json=body | {"message": "Hi"}).status_code == 422
    both = {"elder_id": "ada", "agent_id": "ada", "message": "Hi"}
    assert world.client.post("/chat", json=both).status_code == 200


def test_an_agent_that_is_held_back_says_why(world: World) -> None:
    verdict = Verdict(
        decision="HOLD",
        reasons=("It remembers 0 of 20 things",),
        candidate="zoe-1",
        compared_with="base",
        shared_items=20,
    )
    note_verdict(world.store, ("elder_companion", "zoe"), verdict)
    held = problem(world.chat(elder="zoe"), 409)
    assert "It remembers 0 of 20 things" in held["detail"] and "promote" in held["next_step"]
    mine = bearer(world.tokens.create("elder", elder="ada"))
    hidden, absent = (
        world.client.post("/chat", json={"elder_id": name, "message": "Hi"}, headers=mine)
        for name in ("zoe", "nobody")
    )
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["detail"] == absent.json()["detail"]
