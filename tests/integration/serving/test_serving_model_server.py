"""What stands behind an answer: a model server that fails or is busy, adapters that are shared,
damaged or foreign.
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from support.serving_world import PIPELINE, World, add_agent, openai_error, problem, running_api
from support.waiting import wait_for


def test_a_model_server_that_fails_is_asked_once_more_then_told(world: World) -> None:
    world.model.answers = [{"status": 500}]
    assert world.chat().status_code == 200
    world.model.answers = [{"status": 500}, {"status": 500}]
    body = problem(world.chat(), 503)
    assert "try again" in body["next_step"] and "Hello" not in json.dumps(body)


def test_a_request_that_was_never_answered_is_asked_once_more(world: World) -> None:
    completion = {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]}
    world.model.drops = 1
    assert world.client.post("/v1/chat/completions", json=completion).status_code == 200
    world.model.drops = 1
    assert world.chat().status_code == 200
    world.model.call("list_topics")
    world.model.answers.append(
        {"status": 500}
    )  # in the middle: nothing was told, so all is done again
    assert world.chat().status_code == 200
    assert len(world.model.requests) == 7
    world.model.drops = 9
    failed = openai_error(world.client.post("/v1/chat/completions", json=completion), 503)
    assert "try again" in failed["message"]


def test_more_than_can_be_answered_at_once_wait_for_their_turn(world: World) -> None:
    world.model.delay = 0.1
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda n: world.chat(), range(24)))
    assert [reply.status_code for reply in replies] == [200] * 24
    assert 1 < world.model.most_at_once <= world.services.config.inference.max_concurrency == 4


def test_many_agents_share_one_slot_and_none_is_evicted_while_it_answers(world: World) -> None:
    world.model.delay = 0.2
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: world.chat(elder="ada" if n % 2 else "ben"), range(16)))
    assert [reply.status_code for reply in replies] == [200] * 16
    for request in world.model.requests:
        assert request["messages"][0]["content"] == f"You are {request['model'].split('-')[0]}."
    loaded: set[str] = set()
    for action, name in world.model.adapters:
        loaded = loaded | {name} if action == "load" else loaded - {name}
        assert len(loaded) <= 1


def test_a_client_that_leaves_while_its_adapter_is_loaded_locks_nobody_out(world: World) -> None:
    world.model.loads_slowly = threading.Event()
    with pytest.raises(httpx.ReadTimeout):
        world.client.post("/chat/stream", json={"elder_id": "ada", "message": "Hello"}, timeout=1)
    wait_for(
        lambda: world.services.metrics.in_flight._value.get() == 0
    )  # it knows that the client went away
    world.model.loads_slowly.set()
    assert world.chat().status_code == 200
    wait_for(lambda: world.services.inference.current.pool.loaded == {"ada-00000001": 0})
    assert world.chat(elder="ben").status_code == 200  # there is one slot: it was let go


def test_a_model_server_that_holds_an_adapter_from_before_answers_with_it(world: World) -> None:
    assert world.chat().status_code == 200
    with running_api(world.settings, world.services.config) as (client, _):
        assert client.post("/chat", json={"elder_id": "ada", "message": "Hello"}).status_code == 200


def test_a_model_server_that_somebody_restarted_is_given_its_adapters_again(world: World) -> None:
    completion = {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]}
    assert world.chat().status_code == 200
    world.model.loaded.clear()
    assert world.chat().status_code == 200
    world.model.loaded.clear()
    assert world.client.post("/v1/chat/completions", json=completion).status_code == 200
    world.model.loaded.clear()
    assert (
        world.chat(elder="ben").status_code == 200
    )  # its slot was that of an adapter which is not there any more
    assert world.services.inference.current.pool.loaded == {"ben-00000002": 0}


def test_a_damaged_or_missing_adapter_never_answers(world: World) -> None:
    folder = next(Path(world.store.root).glob(f"{PIPELINE}/sft_adapter/ada/*"))
    (folder / "weights.safetensors").write_bytes(b"1" * 100)
    assert "differs from its manifest" in problem(world.chat(), 503)["detail"]
    folder.rename(folder.with_name("elsewhere"))
    assert "not in the store any more" in problem(world.chat(), 503)["detail"]
    assert world.chat(elder="ben").status_code == 200


def test_an_adapter_of_another_base_never_answers(world: World) -> None:
    add_agent(world.store, "eve", 3, trained_on="other")
    assert "other weights" in problem(world.chat(elder="eve"), 503)["detail"]
    assert world.model.requests == []


def test_an_answer_that_takes_too_long_is_given_up(world: World) -> None:
    answering = world.services.answering
    answering._config = answering._config.model_copy(update={"seconds": 0.5})
    world.model.delay = 2
    assert "ask again" in problem(world.chat(), 503)["next_step"]
    server = world.services.inference.current
    wait_for(lambda: not any(server.pool.loaded.values()), 10)


def test_a_model_server_can_be_ready_before_anybody_asks(world: World) -> None:
    inference = world.services.config.inference.model_copy(update={"warm_up": True})
    with running_api(
        world.settings, world.services.config.model_copy(update={"inference": inference})
    ):
        wait_for(lambda: world.model.adapters == [("load", "ada-00000001")])


def test_answers_on_their_way_are_finished_before_the_service_ends(world: World) -> None:
    world.model.delay = 1.5
    with ThreadPoolExecutor(1) as pool:
        with running_api(world.settings, world.services.config) as (client, _):
            url = client.base_url.copy_with(path="/chat")
            reply = pool.submit(
                httpx.post, url, json={"elder_id": "ada", "message": "Hello"}, timeout=60
            )
            wait_for(lambda: bool(world.model.requests))
        assert reply.result().json()["response"] == "Yes."
