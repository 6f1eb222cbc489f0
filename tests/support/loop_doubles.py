"""What the agent loop talks to: a queue of model replies behind a local server, and tools that
answer out of order.
"""

import asyncio
import json
import time
from typing import Any

from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.errors import ToolServerError
from support.fake_openai import completion_body
from support.local_http import LocalHandler, LocalServer

Reply = dict[str, Any]


class Server(LocalServer):
    """Answers requests in order and keeps them."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.queue: list[Reply | int] = []
        self.requests: list[dict[str, Any]] = []
        self.delay = 0.0


class Handler(LocalHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.requests.append(json.loads(self.body()))
        time.sleep(server.delay)
        reply = server.queue.pop(0)
        status = reply if isinstance(reply, int) else 200
        body: Any = {"error": {"message": "no"}}
        if not isinstance(reply, int):
            body = completion_body(reply)
        self.reply(status, body)


class Tools:
    """Answers later calls sooner; `switch` refuses; `get_today` dies when told to."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.dead = False

    async def call(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        if self.dead:
            raise ToolServerError("The server stopped.")
        await asyncio.sleep(0.02 if call.name == "get_price" else 0)
        if call.name == "switch":
            return ToolResult("on: a boolean is needed", is_error=True)
        return ToolResult(f"result of {call.id}")
