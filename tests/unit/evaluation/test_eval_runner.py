"""Running items against a real local model server: order, tools per kind, failures,
cancellation.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import ToolCall, ToolResult, Usage
from agent_assets.errors import EngineFailed, ToolServerError, TrainingDataError
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.runner import Progress, run_items
from agent_assets.serving_settings import AnswerConfig
from support.evaluation_cases import TODAY, item
from support.fake_openai import completion_body
from support.local_http import LocalHandler, LocalServer


class _Model(LocalHandler):
    """Calls the tool when one is offered and not called yet, then answers. A question with `break`
    is refused, one with `stuck` waits half a second.
    """

    def do_POST(self) -> None:
        body = json.loads(self.body())
        prompt = " ".join(str(message["content"]) for message in body["messages"])
        if "stuck" in prompt:
            time.sleep(0.5)
        if "break" in prompt:
            self.reply(401, {"error": {"message": "no", "type": "auth"}})
            return
        message: dict[str, Any] = {"role": "assistant", "content": "It is Tuesday."}
        if body.get("tools") and body["messages"][-1]["role"] == "user":
            function = {"name": "get_current_date", "arguments": "{}"}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            }
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        self.reply(200, completion_body(message) | {"usage": usage})


class _Tools:
    """A toolbox whose server dies on the call after `alive` ones."""

    def __init__(self, alive: int = 1000) -> None:
        self.alive = alive

    async def call(self, call: ToolCall) -> ToolResult:
        self.alive -= 1
        if self.alive < 0:
            raise ToolServerError("The server energy ended.")
        return ToolResult(text='"2025-04-22"', is_error=False)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with LocalServer(_Model).running() as server:
        yield server.url


def run(
    base_url: str,
    items: list[EvalItem],
    *,
    toolbox: _Tools | None = None,
    on_progress: Progress | None = None,
    seconds: float = 10,
) -> list[ItemResult]:
    async def answer() -> list[ItemResult]:
        model = OpenAIChatModel(
            base_url=base_url, api_key="local", model="m", temperature=0.0, max_tokens=32, seed=1
        )
        return await run_items(
            model,
            toolbox or _Tools(),
            (TODAY,),
            items,
            AnswerConfig(max_turns=3, max_tool_calls=4, seconds=seconds),
            concurrency=4,
            on_progress=on_progress,
        )

    return asyncio.run(answer())


def test_results_keep_the_order_of_the_items_and_closed_book_gets_no_tools(base_url: str) -> None:
    kinds = ["tool", "recall_closed", "recall_open", "abstention"] * 5
    progress: list[tuple[int, int]] = []
    results = run(
        base_url,
        [item(f"i{number}", kind=kind) for number, kind in enumerate(kinds)],
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert [result.item.id for result in results] == [f"i{number}" for number in range(20)]
    assert [len(result.calls) for result in results] == [1, 0, 1, 1] * 5
    assert {result.answer for result in results} == {"It is Tuesday."}
    assert progress == [(done, 20) for done in range(1, 21)]
    # The server counts 5 and 7 tokens a turn; an item with a call takes two turns.
    assert [result.usage for result in results] == [
        Usage(10, 14),
        Usage(5, 7),
        Usage(10, 14),
        Usage(10, 14),
    ] * 5


def test_a_failed_item_is_named_and_the_rest_goes_on(base_url: str) -> None:
    items = [
        item(f"i{number}", question="break it" if number == 3 else "Date?") for number in range(20)
    ]
    results = run(base_url, items)
    assert [result.item.id for result in results if result.error] == ["i3"]
    assert results[3].messages == ()


def test_more_than_a_tenth_failing_stops_with_ids_and_no_questions(base_url: str) -> None:
    items = [item(f"i{number}", question="break the blue boat") for number in range(30)]
    done: list[int] = []
    with pytest.raises(EngineFailed, match=r"4 of 30 held-out items .*i\d") as caught:
        run(base_url, items, on_progress=lambda count, _: done.append(count))
    assert "boat" not in str(caught.value)
    assert max(done) <= 3  # it does not wait for the rest


def test_a_dying_tool_server_is_no_zero(base_url: str) -> None:
    with pytest.raises(EngineFailed, match="ToolServerError"):
        run(base_url, [item(f"i{number}") for number in range(20)], toolbox=_Tools(alive=5))


def test_a_stuck_server_is_no_zero_either(base_url: str) -> None:
    items = [
        item(f"i{number}", question="stuck" if number < 2 else "Date?") for number in range(10)
    ]
    with pytest.raises(EngineFailed, match="ItemTimeout 2") as caught:
        run(base_url, items, seconds=0.3)
    assert "item_seconds" in str(caught.value)


def test_no_items_is_an_error(base_url: str) -> None:
    with pytest.raises(TrainingDataError):
        run(base_url, [])


class _Stop(BaseException):
    """As an orchestrator interrupts a step."""


def test_an_interrupt_comes_out_as_it_is(base_url: str) -> None:
    def stop(done: int, total: int) -> None:
        raise _Stop

    with pytest.raises(_Stop):
        run(base_url, [item(f"i{number}") for number in range(8)], on_progress=stop)
