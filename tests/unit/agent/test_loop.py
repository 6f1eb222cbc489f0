"""The agent loop against a local OpenAI-compatible server that answers from a queue."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from openai import AuthenticationError

from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.agent.loop import Limits, Rollout, StopReason, in_order, run_agent
from agent_assets.conversations.messages import Message
from agent_assets.conversations.validation import validate_conversation
from agent_assets.errors import ToolServerError
from support.loop_doubles import Reply, Server, Tools
from support.synthesis_cases import PRICE, SWITCH, TODAY


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def call(name: str, arguments: str = "{}", call_id: str = "1") -> Reply:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def ask(
    server: Server, *replies: Reply | int, tools: Tools | None = None, **limits: Any
) -> Rollout:
    server.queue = list(replies)

    async def talk() -> Rollout:
        model = OpenAIChatModel(base_url=server.url, api_key="k", model="m", max_retries=0)
        messages = [Message("system", "Be brief."), Message("user", "Well?")]
        return await run_agent(
            model, tools or Tools(), messages, [PRICE, TODAY, SWITCH], Limits(**limits)
        )

    return asyncio.run(talk())


def test_text_before_parallel_calls_and_the_order_of_results_are_kept(server: Server) -> None:
    calls = [call("get_price", '{"place": "P1"}', "a"), call("get_today", "", "b")]
    rollout = ask(server, {"content": "Let me look.", "tool_calls": calls}, {"content": "Done."})
    assert rollout.stop_reason is StopReason.ANSWERED
    assert [message.role for message in rollout.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    reply = rollout.messages[2]
    assert reply.content == "Let me look."
    assert [tool_call.arguments for tool_call in reply.tool_calls] == [{"place": "P1"}, {}]
    assert [message.content for message in rollout.messages[3:5]] == ["result of a", "result of b"]
    sent = server.requests[1]["messages"]
    assert sent[2]["tool_calls"][0]["function"] == {
        "name": "get_price",
        "arguments": '{"place": "P1"}',
    }
    assert [entry.get("tool_call_id") for entry in sent[3:]] == ["a", "b"]
    assert server.requests[0]["tools"][1]["function"]["strict"] is True


def test_errors_of_tools_and_of_the_caller_are_fed_back(server: Server) -> None:
    tools = Tools()
    rollout = ask(
        server,
        {"content": None, "tool_calls": [call("switch", '{"on": "x"}')]},
        {"content": None, "tool_calls": [call("swich")]},
        {"content": None, "tool_calls": [call("switch", '{"on": tru', "2")]},
        {"content": "I give up."},
        tools=tools,
    )
    results = [message.content for message in rollout.messages if message.role == "tool"]
    assert results[0] == "Error: on: a boolean is needed"
    assert "get_price, get_today, switch" in results[1]
    assert "not a JSON object" in results[2]
    assert rollout.tool_errors == 3
    assert len(tools.calls) == 1  # a call that cannot be right never reaches a server
    assert server.requests[3]["messages"][-1]["content"] == results[2]


def test_every_limit_ends_a_rollout_by_name(server: Server) -> None:
    again = {"content": None, "tool_calls": [call("get_today")]}
    assert ask(server, again, again, max_turns=2).stop_reason is StopReason.MAX_TURNS
    two = {"content": None, "tool_calls": [call("get_today", "", "a"), call("get_today", "", "b")]}
    rollout = ask(server, again, two, max_tool_calls=2)
    assert rollout.stop_reason is StopReason.MAX_TOOL_CALLS
    assert rollout.messages[-1].tool_calls
    server.delay = 0.3
    rollout = ask(server, again, again, seconds=0.1)
    assert rollout.stop_reason is StopReason.TIMEOUT
    assert len(rollout.messages) == 2
    assert rollout.seconds < 0.3


def test_a_finished_rollout_is_a_valid_row_but_for_its_schema(server: Server) -> None:
    from agent_assets.conversations.messages import Conversation

    rollout = ask(
        server, {"content": None, "tool_calls": [call("get_today")]}, {"content": "Tuesday."}
    )
    assert validate_conversation(Conversation(rollout.messages, (TODAY,)), max_chars=1000) == []


def test_what_is_nobodys_answer_passes_through(server: Server) -> None:
    with pytest.raises(AuthenticationError):
        ask(server, 401)
    tools = Tools()
    tools.dead = True
    with pytest.raises(ToolServerError):
        ask(server, {"content": None, "tool_calls": [call("get_today")]}, tools=tools)


def test_many_jobs_run_a_few_at_a_time_in_order() -> None:
    running, most = 0, 0

    async def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02 / (number + 1))
        running -= 1
        if number == 99:
            raise ToolServerError("gone")
        return number

    assert asyncio.run(
        in_order([partial(job, number) for number in range(9)], concurrency=3)
    ) == list(range(9))
    assert most == 3
    with pytest.raises(ToolServerError, match="gone"):
        asyncio.run(in_order([partial(job, 1), partial(job, 99)], concurrency=3))
