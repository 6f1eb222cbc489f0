"""A2A over real HTTP with the client of the official SDK, in both versions of the protocol."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.client.errors import A2AClientError
from a2a.helpers.proto_helpers import get_artifact_text, new_text_message
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    Role,
    SendMessageRequest,
    StreamResponse,
    Task,
    TaskState,
)
from a2a.utils.errors import A2AError

from support.serving_world import EXPERT, World, add_expert, bearer
from support.waiting import wait_for

ADA = "/a2a/ada"
VERSIONS = pytest.mark.parametrize("version", ["1.0", "0.3"])


@asynccontextmanager
async def connected(
    world: World,
    agent: str = "",
    *,
    version: str = "1.0",
    streaming: bool = False,
    polling: bool = False,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Client]:
    """A client that found the card by itself, and speaks one version of the protocol."""
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await A2ACardResolver(
            http, str(world.client.base_url).rstrip("/") + agent
        ).get_agent_card()
        chosen = AgentCard()
        chosen.CopyFrom(card)
        del chosen.supported_interfaces[:]
        chosen.supported_interfaces.extend(
            known for known in card.supported_interfaces if known.protocol_version == version
        )
        config = ClientConfig(httpx_client=http, streaming=streaming, polling=polling)
        yield ClientFactory(config).create(chosen)


def message(text: str, *, agent: str | None = None, context: str = "") -> SendMessageRequest:
    said = new_text_message(text, role=Role.ROLE_USER, context_id=context or None)
    if agent is not None:
        said.metadata.update({"agent_id": agent})
    return SendMessageRequest(message=said)


async def ask(client: Client, request: SendMessageRequest) -> list[StreamResponse]:
    return [event async for event in client.send_message(request)]


def task_of(events: list[StreamResponse]) -> Task:
    (event,) = events
    return event.task


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@VERSIONS
def test_an_agent_answers_a_message_and_goes_on_in_its_context(world: World, version: str) -> None:
    async def work() -> None:
        async with connected(world, ADA, version=version) as client:
            world.model.call("search_memories", query="What did you sell?")
            world.model.text("Candles [m1].")
            task = task_of(await ask(client, message("What did you sell?")))
            assert task.status.state == TaskState.TASK_STATE_COMPLETED
            assert get_artifact_text(task.artifacts[0]) == "Candles [m1]."
            assert list(task.artifacts[0].metadata["memory_ids"]) == ["m1"]
            world.model.text("In Boston.")
            again = task_of(await ask(client, message("Where?", context=task.context_id)))
            assert get_artifact_text(again.artifacts[0]) == "In Boston."
            asked = [entry["content"] for entry in world.model.requests[-1]["messages"]]
            assert asked == ["You are ada.", "What did you sell?", "Candles [m1].", "Where?"]
            kept = await client.get_task(GetTaskRequest(id=task.id))
            assert get_artifact_text(kept.artifacts[0]) == "Candles [m1]."

    run(work)


@VERSIONS
def test_a_stream_tells_tool_calls_and_text_as_they_come(world: World, version: str) -> None:
    async def work() -> None:
        async with connected(world, ADA, version=version, streaming=True) as client:
            world.model.call("search_memories", query="What did you sell?")
            world.model.text("Candles of course")
            events = await ask(client, message("What did you sell?"))
        told = [name for event in events for name in event.status_update.metadata if name]
        assert told[:2] == ["tool_call", "tool_response"]
        assert set(told[2:]) == {"model_name", "memory_ids", "stop_reason"}
        pieces = [event.artifact_update for event in events if event.HasField("artifact_update")]
        assert "".join(get_artifact_text(piece.artifact) for piece in pieces) == "Candlesofcourse"
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED

    run(work)


def test_a_task_is_cancelled_while_it_works(world: World) -> None:
    world.model.loads_slowly = threading.Event()

    async def work() -> None:
        async with connected(world, ADA, polling=True) as client:
            task = task_of(await ask(client, message("Hi")))
            await asyncio.to_thread(wait_for, lambda: bool(world.model.adapters))
            ended = await client.cancel_task(CancelTaskRequest(id=task.id))
            assert ended.status.state == TaskState.TASK_STATE_CANCELED
            assert world.model.loads_slowly is not None
            world.model.loads_slowly.set()
            with pytest.raises(A2AError):
                await client.cancel_task(CancelTaskRequest(id=task.id))
        assert world.model.requests == []

    run(work)


def test_the_public_card_names_nobody_and_tokens_decide_who_is_asked(world: World) -> None:
    add_expert(world.store, 9)
    mine = bearer(world.tokens.create("elder", elder="ada"))
    other = bearer(world.tokens.create("elder", elder="ben"))
    for path in ("/.well-known/agent-card.json", "/.well-known/agent.json"):
        card = world.client.get(path)
        assert card.status_code == 200 and '"ada' not in card.text
        assert card.json()["capabilities"]["streaming"] is True
    assert world.client.get(f"{ADA}/.well-known/agent-card.json").status_code in (200, 401)

    async def work() -> None:
        async with connected(world, headers=mine) as client:
            extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
            assert [skill.id for skill in extended.skills] == ["chat", "ada", EXPERT]
            task = task_of(await ask(client, message("Hi")))
            assert (task.status.state, world.model.requests[-1]["model"]) == (
                TaskState.TASK_STATE_COMPLETED,
                "ada-00000001",
            )
            hidden, absent = [
                task_of(await ask(client, message("Hi", agent=name))) for name in ("ben", "zoe")
            ]
            assert hidden.status.state == TaskState.TASK_STATE_FAILED
            assert hidden.status.message.parts[0].text == absent.status.message.parts[0].text
            expert = task_of(await ask(client, message("Hi", agent=EXPERT)))
            assert expert.status.state == TaskState.TASK_STATE_COMPLETED
        async with connected(world, headers=other) as stranger:
            assert not (await stranger.list_tasks(ListTasksRequest())).tasks
            with pytest.raises(A2AError):
                await stranger.get_task(GetTaskRequest(id=task.id))
            with pytest.raises(A2AClientError, match="404"):
                async with connected(world, ADA, headers=other):
                    pass

    run(work)
    assert world.client.post(ADA, json={}, headers=other).status_code == 404
    reader = bearer(world.tokens.create("read"))
    assert world.client.post("/a2a", json={}, headers=reader).status_code == 403


def test_what_is_wrong_in_a_request_is_told_without_ending_anything(world: World) -> None:
    for body, code in (
        ({}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "nothing"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}, -32600),
    ):
        reply = world.client.post("/a2a", json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (200, code)
    broken = world.client.post("/a2a", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.json()["error"]["code"] == -32700

    async def work() -> None:
        async with connected(world) as client:
            task = task_of(await ask(client, message("Hi")))
            assert task.status.state == TaskState.TASK_STATE_FAILED
            assert "agent_id" in task.status.message.parts[0].text

    run(work)
