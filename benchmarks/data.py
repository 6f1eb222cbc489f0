"""How fast rollouts and training rows are made.

python benchmarks/data.py [--quick]        about 2 minutes; --quick under a minute, over fewer elders

The last line is one JSON object:
rollout_ratio        time of 64 rollouts (two model turns, one tool call) against a model server that answers after
                     200 ms, 16 at a time, by the time one at a time (the mean of the first 8, times 64)
raw_rows_s           answers a second of a bare find_raw_batches pass over the collection, batches not decoded
raw_decoded_rows_s   the same, every document decoded
read_rows_s          answers a second read into memories
floor_rows_s         the least a program in Python can do: answers sorted by elder, each written as a JSON line into its
                     elder's file, that elder's other files empty; no memories, no questions, no checks
jsonl_rows_s         closed-book rows a second from MongoDB to train.jsonl: read, write memories, build, check, write
committed_rows_s     the same into the store: hashed, with a manifest, flushed to disk
jsonl_vs_raw_ratio   jsonl_rows_s by raw_rows_s
floor_vs_raw_ratio   floor_rows_s by raw_rows_s: what jsonl_vs_raw_ratio cannot exceed
jsonl_vs_decoded_ratio  jsonl_rows_s by raw_decoded_rows_s
unchanged_ratio      time to find every elder's rows unchanged, by the time to make and commit them: checksums of all
                     answers as the nightly plan takes them, look up by fingerprint, verify the hash of every file
reread_ratio         the same with every answer read and digested instead of summed up by checksums
identical            whether rows made again from the database are the same bytes
trace_ms             milliseconds of CPU that one traced step costs; untraced_us: microseconds of one nobody traces
"""  # noqa: E501

import argparse
import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from elder_rows import row_figures

from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.agent.loop import Limits, in_order, run_agent
from agent_assets.agent.tracing import span
from agent_assets.agent.weave_tracing import WeaveTracing
from agent_assets.conversations.messages import Message, ToolCall, ToolResult, ToolSchema

LATENCY_S = 0.2
QUESTIONS, CONCURRENCY, SEQUENTIAL = 64, 16, 8
TODAY = ToolSchema("get_today", "The date.", {"type": "object", "properties": {}})


class SlowModel(BaseHTTPRequestHandler):
    """Calls the tool after a question, answers after a result; both take a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        time.sleep(LATENCY_S)
        call = {"id": "c", "type": "function", "function": {"name": "get_today", "arguments": "{}"}}
        message: dict[str, Any] = {"role": "assistant", "content": "Monday."}
        if messages[-1]["role"] == "user":
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


class Clock:
    annotations: dict[str, dict[str, bool]] = {}  # noqa: RUF012

    async def call(self, call: ToolCall) -> ToolResult:
        return ToolResult("2026-01-05")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def model_server() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), SlowModel)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def rollout_figures() -> dict[str, Any]:
    """Many rollouts at once against one after the other."""

    async def run(url: str, count: int, concurrency: int) -> float:
        model = OpenAIChatModel(base_url=url, api_key="none", model="m")
        messages = [Message("user", "What day is it?")]
        jobs = [
            partial(run_agent, model, Clock(), messages, [TODAY], Limits()) for _ in range(count)
        ]
        started = time.perf_counter()
        rollouts = await in_order(jobs, concurrency=concurrency)
        assert all(rollout.messages[-1].content == "Monday." for rollout in rollouts)
        return time.perf_counter() - started

    with model_server() as url:
        sequential = asyncio.run(run(url, SEQUENTIAL, 1)) * QUESTIONS / SEQUENTIAL
        concurrent = asyncio.run(run(url, QUESTIONS, CONCURRENCY))
    print(
        f"{QUESTIONS} rollouts: {sequential:.1f} s one at a time, {concurrent:.2f} s at "
        f"{CONCURRENCY}"
    )
    return {
        "rollout_ratio": round(concurrent / sequential, 4),
        "rollout_concurrent_s": round(concurrent, 2),
    }


def trace_figures(folder: Path) -> dict[str, Any]:
    """What a traced step costs, and one that nobody traces."""
    steps = 300
    messages = {"messages": [{"role": "user", "content": "x" * 400}] * 6}
    with WeaveTracing().session(folder / "t.sqlite", {"run_id": "r"}, report=print) as figures:
        started = time.process_time()
        for _ in range(steps):
            with span("llm_call", lambda: messages) as traced:
                traced.finish(messages)
    traced_ms = 1000 * (time.process_time() - started) / steps
    assert (figures.spans, figures.lost) == (steps, 0)
    started = time.process_time()
    for _ in range(100_000):
        with span("llm_call", lambda: messages):
            pass
    return {
        "trace_ms": round(traced_ms, 3),
        "untraced_us": round(10 * (time.process_time() - started), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer elders")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="data-"))
    try:
        figures = (
            rollout_figures() | row_figures(folder, 100 if quick else 1_000) | trace_figures(folder)
        )
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
