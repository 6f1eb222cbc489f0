"""A paid language model for tests: a queue of replies behind a real local HTTP server, good ones
and bad ones.

    with fake_openai() as server:
        server.queue += [says("Hello."), status(429, retry_after="0"), Reply(body=b"{half a")]

`usual` answers when the queue is empty: a reply, or a function of the request that gives one.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from support.local_http import LocalHandler, LocalServer

MODEL = "teacher-1"


@dataclass(frozen=True)
class Reply:
    """One HTTP reply; `delay_s` comes before it."""

    body: bytes | dict[str, Any]
    status: int = 200
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Callable[[dict[str, Any]], Reply]


def completion_body(
    message: dict[str, Any], *, finish: str = "stop", model: str = "m", **more: Any
) -> dict[str, Any]:
    """A chat completion as a server sends it, without `usage`; `more` are fields of the choice."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", **message},
        **more,
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
    }


def completion(
    message: dict[str, Any],
    *,
    finish: str = "stop",
    model: str = MODEL,
    tokens: int = 10,
    **more: Any,
) -> Reply:
    """A whole completion; it read and wrote `tokens` tokens each."""
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}
    body = completion_body({"content": None, **message}, finish=finish, model=model)
    return Reply(body | {"usage": usage}, **more)


def says(text: str, **more: Any) -> Reply:
    """A plain answer."""
    return completion({"content": text}, **more)


def calls(*named: tuple[str, dict[str, Any] | str], text: str | None = None, **more: Any) -> Reply:
    """Tool calls, all at once; arguments that are text are sent as they are."""
    entries = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
            },
        }
        for number, (name, arguments) in enumerate(named)
    ]
    return completion({"content": text, "tool_calls": entries}, finish="tool_calls", **more)


def escaped(reply: Reply) -> Reply:
    """The same reply in ASCII, which half a surrogate pair needs."""
    return replace(reply, body=json.dumps(reply.body).encode())


def status(
    code: int, *, error: str = "no", retry_after: str | None = None, delay_s: float = 0.0
) -> Reply:
    """An error reply."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(
        {"error": {"message": "told in confidence", "code": error}}, code, delay_s, headers
    )


class FakeOpenAI(LocalServer):
    """`requests` are the bodies that were asked, in order of their arrival."""

    def __init__(self, usual: Answer) -> None:
        super().__init__(_Handler)
        self.usual = usual
        self.queue: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()


class _Handler(LocalHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, FakeOpenAI)
        request = json.loads(self.body())
        with server.lock:
            server.requests.append(request)
            answer = server.queue.pop(0) if server.queue else server.usual
        reply = answer(request) if callable(answer) else answer
        time.sleep(reply.delay_s)
        self.reply(reply.status, reply.body, headers=reply.headers)


@contextmanager
def fake_openai(usual: Answer | None = None) -> Iterator[FakeOpenAI]:
    """A server that runs inside the block."""
    with FakeOpenAI(usual or says("Yes.")).running() as server:
        yield server
