"""OpenAI's protocol as its clients really speak it: fields of other servers, values that mean
"none", errors in OpenAI's form, and bodies that no client should send. The model is a queue of
answers.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_assets.serving_settings import ServingConfig
from support.serving_world import World, openai_error, running_api

URL = "/v1/chat/completions"
USER = {"role": "user", "content": "Hi"}


def ask(world: World, **fields: Any) -> dict[str, Any]:
    """What reached the model server."""
    reply = world.client.post(URL, json={"model": "ada", "messages": [USER], **fields})
    assert reply.status_code == 200, reply.text
    return world.model.requests[-1]


def test_fields_of_other_servers_are_passed_on_or_passed_over(world: World) -> None:
    asked = ask(
        world,
        store=True,
        metadata={"a": "b"},
        service_tier="auto",
        user="u" * 500,
        prompt_cache_key="x",
        safety_identifier="x",
        modalities=["text"],
        verbosity="low",
        functions=[],
        chat_template="{{ 1/0 }}",
        vllm_xargs={"a": 1},
        tools=[],
        tool_choice="auto",
        parallel_tool_calls=True,
        stream=None,
        stream_options={"include_usage": True},
        top_k=20,
        min_p=0.1,
        repetition_penalty=1.1,
        reasoning_effort="low",
        enable_thinking=False,
        chat_template_kwargs={"tone": "warm"},
    )
    assert {name: value for name, value in asked.items() if name != "messages"} == {
        "model": "ada-00000001",
        "stream": False,
        "top_k": 20,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "reasoning_effort": "low",
        "chat_template_kwargs": {"enable_thinking": False, "tone": "warm"},
    }


def test_values_mean_what_their_users_mean(world: World) -> None:
    unset = {"seed": -1, "max_tokens": -1, "max_completion_tokens": -2, "temperature": None}
    asked = ask(world, **unset)
    assert not asked.keys() & unset.keys()
    asked = ask(world, seed=2**40, max_tokens=200_000, n=3)
    assert (asked["seed"], asked["max_tokens"], asked["n"]) == (2**40, 200_000, 3)
    too_many = {"model": "ada", "messages": [USER], "n": 9}
    error = openai_error(world.client.post(URL, json=too_many), 400)
    assert error["param"] == "n" and "less than or equal to 8" in error["message"]


def test_messages_of_sdks_are_taken(world: World) -> None:
    earlier: dict[str, Any] = {
        "role": "assistant",
        "content": "Yes.",
        "tool_calls": [],
        "refusal": None,
    }
    asked = ask(
        world, messages=[{"role": "developer", "content": "Be short."}, USER, earlier, USER]
    )
    assert asked["messages"] == [
        {"role": "system", "content": "Be short."},
        USER,
        {"role": "assistant", "content": "Yes."},
        USER,
    ]


def test_one_model_is_looked_at_and_what_is_not_there_is_said_clearly(world: World) -> None:
    client = world.client
    listed = client.get("/v1/models").json()["data"][0]
    assert client.get("/v1/models/ada").json() == listed and listed["created"] > 1_600_000_000
    assert client.get("/v1/models/ada-00000001").json()["version"] == "ada-00000001"
    assert openai_error(client.get("/v1/models/eve"), 404)["code"] == "model_not_found"
    for path, instead in {
        "responses": "chat.completions",
        "embeddings": "another server",
        "completions": "chat/completions",
        "audio/speech": "this API has",
    }.items():
        error = openai_error(client.post(f"/v1/{path}", json={"model": "ada"}), 404)
        assert f"no POST /v1/{path}" in error["message"] and instead in error["message"]
        assert error["code"] == "unknown_url"
    assert openai_error(client.get(URL), 405)["message"].startswith("There is no GET")


def test_listed_pages_may_call_and_read_errors(world: World) -> None:
    page = "https://app.example"
    given = world.services.config.model_dump() | {"cors_origins": ["https://APP.example/"]}
    config = ServingConfig.model_validate(given)
    asked = {"Origin": page, "Access-Control-Request-Method": "POST"}
    with running_api(world.settings, config) as (client, _):
        preflight = client.options(
            URL, headers=asked | {"Access-Control-Request-Headers": "authorization,content-type"}
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
        refused = client.post(
            URL, json={}, headers={"Origin": page, "Sec-Fetch-Site": "cross-site"}
        )
        assert openai_error(refused, 400)
        assert refused.headers["access-control-allow-origin"] == page
        assert client.get("/v1/models", headers={"Origin": "https://b.example"}).status_code == 403
    assert world.client.options(URL, headers=asked).status_code == 403


def body_with(**fields: Any) -> str:
    return json.dumps({"model": "ada", "messages": [USER], **fields})


_DEEP = "[" * 300 + "]" * 300
_ODD = [
    "",
    "{",
    "null",
    "[]",
    '"x"',
    "1",
    "\ufeff" + body_with(model="nobody"),
    body_with(model=""),
    body_with(model=None),
    body_with(model=["ada"]),
    body_with(model="ada\x00"),
    body_with(model="../ada"),
    body_with(messages=None),
    body_with(messages=[]),
    body_with(messages={}),
    body_with(messages=[[]]),
    body_with(messages=[{"content": "Hi"}]),
    body_with(messages=[{"role": "user", "content": 1}]),
    body_with(messages=[{"role": "user", "content": ["Hi"]}]),
    body_with(messages=[{"role": "robot", "content": "Hi"}]),
    body_with(messages=[{"role": "user", "content": "\ud800"}]),
    body_with(messages=[{"role": "user", "content": [{"type": "text", "text": "\udfff"}]}]),
    body_with(messages=[{"role": "user", "content": "Hi", "name": "\ud83d"}]),
    body_with(messages=[USER] * 1001),
    body_with(tools=[{"type": "function", "function": {"name": "a", "default": float("nan")}}]),
    body_with(tools=[{"type": "function", "function": {"name": "\ud800"}}]),
    body_with(tools={}),
    body_with(tools=["search"]),
    body_with(tools=[{}] * 129),
    body_with(tool_choice=1),
    body_with(logit_bias={"\ud800": "x"}),
    body_with(logit_bias={"1": "x"}),
    body_with(logit_bias=[]),
    body_with(response_format="json"),
    body_with(response_format={"a": float("inf")}),
    body_with(seed=1.5),
    body_with(seed=10**30),
    body_with(max_tokens=0),
    body_with(max_tokens="many"),
    body_with(max_tokens=float("nan")),
    body_with(n=0),
    body_with(n=-1),
    body_with(n=10**30),
    body_with(temperature=-1),
    body_with(temperature="hot"),
    body_with(top_p=0),
    body_with(stop=[1]),
    body_with(stop={"a": 1}),
    body_with(stream="maybe"),
    body_with(stream_options=[]),
    body_with(chat_template_kwargs=[]),
    body_with(chat_template_kwargs={"\ud800": 1}),
    body_with(store="\ud800"),
    body_with(metadata={"\udc00": 1}),
    f'{{"model":"ada","messages":[],"tools":{_DEEP}}}',
    f'{{"model":"ada","messages":[{{"role":"user","content":"x"}}],"store":{_DEEP}}}',
    f'{{"model":"ada","messages":{"[" * 20_000}',
    '{"model":"ada","messages":[{"role":"user","content":"x"}],"seed":' + "1" * 5000 + "}",
    '{"model":"ada","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
]


@pytest.mark.parametrize("form", ["json", "stream"])
def test_odd_bodies_are_the_callers_mistake(world: World, form: str) -> None:
    for body in _ODD:
        sent = body.replace('"model": "ada"', '"stream": true, "model": "ada"', form == "stream")
        content = sent.encode("utf-8", errors="surrogatepass")
        reply = world.client.post(
            URL, content=content, headers={"content-type": "application/json"}
        )
        assert reply.status_code in (400, 404), (body[:200], reply.status_code, reply.text)
        assert openai_error(reply, reply.status_code)
    assert world.model.requests == []


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_ANYTHING = st.recursive(
    _PLAIN | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_no_body_whatever_makes_the_api_fail(world: World) -> None:
    """Every field of every body in turn holds anything; NaN and half a pair included."""
    world.services.limit._burst = world.services.limit._rate = 1e9
    names = world.client.get("/openapi.json").json()["components"]["schemas"]
    fields = [*names["CompletionRequest"]["properties"], "store", "metadata"]
    usual = {"model": "ada", "messages": [USER], "elder_id": "ada", "message": "Hi", "to": "eve"}

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from([URL, "/chat", "/chat/stream", "/models/ada/copy"]),
        st.dictionaries(
            st.sampled_from([*fields, "elder_id", "message", "conversation_history", "to"]),
            _ANYTHING,
            max_size=3,
        ),
    )
    def send(url: str, odd: dict[str, Any]) -> None:
        reply = world.client.post(
            url, content=json.dumps(usual | odd), headers={"content-type": "application/json"}
        )
        assert reply.status_code < 500, (url, odd, reply.text)

    send()


def test_bodies_of_older_clients_are_taken(world: World) -> None:
    reply = world.chat(
        conversation_history=None,
        user_id=7,
        stream=False,
    )
    assert reply.status_code == 200, reply.text
    history = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello", "timestamp": "2025-11-01T10:00:00Z"},
        {"role": "assistant", "content": "Good day.", "timestamp": 1730455200, "id": None},
        {"role": "assistant", "content": None},
    ]
    assert world.chat("And now?", conversation_history=history).status_code == 200
    assert [message["content"] for message in world.model.requests[-1]["messages"]] == [
        "You are ada.",
        "Hello",
        "Good day.",
        "And now?",
    ]
    started = world.client.post(
        "/train/start",
        json={"elder_id": "nobody", "elder_name": None, "force_retrain": None, "x": 1},
    )
    assert started.status_code == 404
