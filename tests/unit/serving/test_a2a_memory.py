"""What A2A keeps in memory: bounded, and gone with the agent that is erased."""

import asyncio

import pytest
from a2a.server.context import ServerCallContext
from a2a.types.a2a_pb2 import Task

from agent_assets.serving.a2a import memory
from agent_assets.serving.a2a.memory import BoundedTasks, Conversations

CALL = ServerCallContext()


def test_tasks_of_an_erased_agent_and_the_oldest_of_too_many_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_TASKS", 2)

    async def work() -> list[str]:
        tasks = BoundedTasks()
        for name, agent in (("t1", "ada"), ("t2", "ada"), ("t3", "ben")):
            await tasks.save(Task(id=name, context_id="c"), CALL)
            tasks.is_for(name, agent)
        assert await tasks.get("t1", CALL) is None  # the oldest of three
        assert await tasks.forget("ada") == 1
        return [name for name in ("t1", "t2", "t3") if await tasks.get(name, CALL) is not None]

    assert asyncio.run(work()) == ["t3"]


def test_conversations_keep_the_end_and_go_with_their_agent() -> None:
    conversations = Conversations(most_messages=2)
    for text in ("one", "two"):
        conversations.add(("token", "ada", "c"), text, f"{text}!")
    conversations.add(("token", "ben", "c"), "three", "three!")
    assert [entry.content for entry in conversations.before(("token", "ada", "c"))] == [
        "two",
        "two!",
    ]
    assert conversations.before(("other", "ada", "c")) == ()  # another caller's context
    assert conversations.forget("ada") == 1
    assert conversations.before(("token", "ada", "c")) == ()
    assert conversations.before(("token", "ben", "c"))
