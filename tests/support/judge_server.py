"""A model behind a real local HTTP server: a queue of answers, each a status with a text or a whole
reply.

An answer may also be a function of the request that gives one.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.fake_openai import completion_body
from support.local_http import LocalHandler, LocalServer

Reply = tuple[int, str | dict[str, Any]]
Answer = Reply | Callable[[dict[str, Any]], Reply]


class JudgeServer:
    """`requests` holds what was asked; `answers` is used up in order, then `usual` answers."""

    def __init__(self, usual: Answer) -> None:
        self.answers: list[Answer] = []
        self.usual = usual
        self.requests: list[dict[str, Any]] = []
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, request: dict[str, Any]) -> tuple[int, str]:
        with self._lock:
            self.requests.append(request)
            chosen = self.answers.pop(0) if self.answers else self.usual
        status, text = chosen(request) if callable(chosen) else chosen
        if status != 200:
            return status, json.dumps({"error": {"message": text or "no"}})
        if isinstance(text, dict):
            return 200, json.dumps(text)
        usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
        reply = completion_body({"content": text}, model="judge") | {"usage": usage}
        return 200, json.dumps(reply)


def order_of(request: dict[str, Any]) -> list[str]:
    """Ids of the trajectories as the judge was shown them."""
    return re.findall(r'<trajectory id="(\w+)">', request["messages"][-1]["content"])


def scores(values: dict[str, float], *, backwards: bool = False) -> str:
    entries = [
        {"trajectory_id": key, "explanation": "", "score": value} for key, value in values.items()
    ]
    return json.dumps({"scores": entries[::-1] if backwards else entries})


@contextmanager
def judge_server(usual: Answer) -> Iterator[JudgeServer]:
    judge = JudgeServer(usual)

    class Handler(LocalHandler):
        def do_POST(self) -> None:
            status, text = judge.answer(json.loads(self.body()))
            self.reply(status, text.encode())

    with LocalServer(Handler).running() as server:
        judge.url = server.url
        yield judge
