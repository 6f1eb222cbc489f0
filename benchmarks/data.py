"""How fast rollouts and training rows are made.

python benchmarks/data.py [--quick]        about 2 minutes; --quick under a minute, over fewer elders

The last line is one JSON object:
rollout_ratio        time of 64 rollouts (two model turns, one tool call) against a model server that answers after
                     200 ms, 16 at a time, by the time one at a time (the mean of the first 8, times 64)
raw_rows_s           answers a second of a bare find_raw_batches pass over the collection, batches not decoded
raw_decoded_rows_s   the same, every document decoded
read_rows_s          answers a second read into memories
jsonl_rows_s         closed-book rows a second from MongoDB to train.jsonl: read, write memories, build, check, write
committed_rows_s     the same into the store: hashed, with a manifest, flushed to disk
jsonl_vs_raw_ratio   jsonl_rows_s by raw_rows_s
jsonl_vs_decoded_ratio  jsonl_rows_s by raw_decoded_rows_s
unchanged_ratio      time to find every elder's rows unchanged, by the time to make and commit them: checksums of all
                     answers as the nightly plan takes them, look up by fingerprint, verify the hash of every file
reread_ratio         the same with every answer read and digested instead of summed up by checksums
identical            whether rows made again from the database are the same bytes
trace_ms             milliseconds of CPU that one traced step costs; untraced_us: microseconds of one nobody traces
"""

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bson
from elders_database import fill

from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.automation.sources import MongoElders
from agent_assets.conversations.memories import write_memories
from agent_assets.conversations.messages import Message, ToolCall, ToolResult, ToolSchema
from agent_assets.planning.elders import check_elders
from agent_assets.planning.fingerprint import fingerprint, source_version
from agent_assets.planning.index import PlanIndex
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.manifest import Manifest, content_version, hash_files
from agent_assets.synthesis.agent_loop import Limits, in_order, run_agent
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.mcp_client import load_mcp_config, open_toolbox
from agent_assets.synthesis.openai_model import OpenAIChatModel
from agent_assets.synthesis.question_files import read_questions, write_questions
from agent_assets.synthesis.questions import make_questions
from agent_assets.synthesis.rows import make_rows
from agent_assets.synthesis.tracing import span
from resources.mongo import MongoResource
from resources.mongo_config import MongoLayout
from resources.mongo_reader import ElderRecord, content_digest, iter_elders
from resources.mongo_retry import connect
from resources.mongod import start_mongod
from resources.tracing import TracingResource

DEFS = Path(__file__).resolve().parent.parent / "agent_assets" / "defs" / "elder_companion"
ANSWERS = 100
LATENCY_S = 0.2
QUESTIONS, CONCURRENCY, SEQUENTIAL = 64, 16, 8
TODAY = ToolSchema("get_today", "The date.", {"type": "object", "properties": {}})
# Rows that need no tool server: every memory is told once, nothing is looked up and nothing held out.
CLOSED_BOOK = RowsConfig(
    open_per_memory=0, closed_per_memory=1, open_heldout_share=0, never_told_repeats=0, memory_tool_questions=0,
    heldout_memory_tool_questions=0, heldout_recall=0,
)  # fmt: skip
SETTINGS = CLOSED_BOOK.model_dump()


class SlowModel(BaseHTTPRequestHandler):
    """Calls the tool after a question, answers after a result; both take a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        time.sleep(LATENCY_S)
        call = {"id": "c", "type": "function", "function": {"name": "get_today", "arguments": "{}"}}
        said: dict[str, Any] = {"role": "assistant", "content": "Monday."}
        if asked[-1]["role"] == "user":
            said = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
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


class NoTools:
    annotations: dict[str, dict[str, bool]] = {}  # noqa: RUF012

    async def call(self, call: ToolCall) -> ToolResult:
        raise AssertionError("closed-book rows call nothing")


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
        asked = [Message("user", "What day is it?")]
        jobs = [partial(run_agent, model, Clock(), asked, [TODAY], Limits()) for _ in range(count)]
        started = time.perf_counter()
        rollouts = await in_order(jobs, concurrency=concurrency)
        assert all(rollout.messages[-1].content == "Monday." for rollout in rollouts)
        return time.perf_counter() - started

    with model_server() as url:
        sequential = asyncio.run(run(url, SEQUENTIAL, 1)) * QUESTIONS / SEQUENTIAL
        concurrent = asyncio.run(run(url, QUESTIONS, CONCURRENCY))
    print(f"{QUESTIONS} rollouts: {sequential:.1f} s one at a time, {concurrent:.2f} s at {CONCURRENCY}")
    return {"rollout_ratio": round(concurrent / sequential, 4), "rollout_concurrent_s": round(concurrent, 2)}


async def make_questions_folder(folder: Path) -> list[ToolSchema]:
    """Recall questions as the shipped pipeline asks them."""
    servers = load_mcp_config(DEFS / "mcp_config.json", {"python": sys.executable, "memories": "-"})
    async with open_toolbox(servers) as toolbox:
        config = QuestionsConfig(languages=["en", "zh"])
        make_questions(folder, tools=toolbox.tools, config=config, wordings=DEFS / "wordings.yaml")
        write_questions(folder, [question for question in read_questions(folder) if question.kind == "recall"])
        return toolbox.tools


def build_plain(folder: Path, record: ElderRecord, questions: Path, tools: list[ToolSchema]) -> int:
    """One elder's memories and rows in folders of their own, without the store."""
    rows = folder / record.profile.elder_id
    rows.mkdir(parents=True)
    return build(folder.with_name("memories") / record.profile.elder_id, rows, record, questions, tools)


def build(memories: Path, rows: Path, record: ElderRecord, questions: Path, tools: list[ToolSchema]) -> int:
    """One elder's memories and rows, as the stages write them."""
    memories.mkdir(parents=True)
    write_memories(memories, record.profile, record.memories)
    made = asyncio.run(
        make_rows(
            rows, questions_folder=questions, tools=tools, toolbox=NoTools(), memories_folder=memories,
            config=CLOSED_BOOK, system_prompt=None, wordings=DEFS / "wordings.yaml",
        )
    )  # fmt: skip
    return int(made["exchanges"])


def digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.jsonl")):
        digest.update(f"{path.relative_to(folder).parts[0]}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()


def row_figures(folder: Path, elders: int) -> dict[str, Any]:
    """Closed-book rows of many elders from a real MongoDB, twice."""
    questions = folder / "questions"
    questions.mkdir()
    tools = asyncio.run(make_questions_folder(questions))
    store = ArtifactStore(str(folder / "store"))
    database = Path(tempfile.mkdtemp(prefix="data-"))
    try:
        with start_mongod(database) as mongod, connect(mongod.uri) as client:
            db = client["fleet"]
            fill(db, elders, ANSWERS)
            figures = raw_figures(db.answers, elders * ANSWERS)
            layout = MongoLayout.service()
            started = time.perf_counter()
            for _ in iter_elders(db, layout):
                pass
            figures["read_rows_s"] = round(elders * ANSWERS / (time.perf_counter() - started))

            def written() -> int:
                return sum(build_plain(folder / "plain", r, questions, tools) for r in iter_elders(db, layout))

            def first() -> int:
                return sum(commit(store, folder / "first", r, questions, tools) for r in iter_elders(db, layout))

            plain, rows = timed(written)
            seconds, _ = timed(first)

            def reread() -> None:
                for record in iter_elders(db, layout):
                    look_up(store, *read(record))

            again, _ = timed(reread)
            source = MongoElders(MongoResource(uri=mongod.uri, database="fleet"), elders_graph())
            index = PlanIndex(folder / "plan")
            check_elders(source, index, now=time.time(), full=True)

            def night() -> int:
                found = check_elders(source, index, now=time.time(), full=True)
                for elder, version in found.digests.items():
                    look_up(store, elder, version)
                return len(found.digests)

            unchanged, looked_up = timed(night)
    finally:
        shutil.rmtree(database)
    assert (rows, looked_up) == (elders * ANSWERS, elders), (rows, looked_up)
    print(f"{rows} rows of {elders} elders: {plain:.2f} s, {seconds:.2f} s with the store")
    print(f"  found unchanged in {unchanged:.2f} s by checksums, {again:.2f} s when every answer is read")
    figures |= {"jsonl_rows_s": round(rows / plain), "committed_rows_s": round(rows / seconds)}
    return figures | {
        "elders": elders,
        "jsonl_vs_raw_ratio": round(figures["jsonl_rows_s"] / figures["raw_rows_s"], 4),
        "jsonl_vs_decoded_ratio": round(figures["jsonl_rows_s"] / figures["raw_decoded_rows_s"], 4),
        "unchanged_ratio": round(unchanged / seconds, 4),
        "reread_ratio": round(again / seconds, 4),
        "identical": digest_of(folder / "plain") == digest_of(folder / "store" / "elder_companion" / "train_jsonl"),
    }


def raw_figures(collection: Any, answers: int) -> dict[str, Any]:
    """The best of three passes: the collection is in memory then, as it is for what is measured next."""
    bare = min(timed(lambda: sum(len(batch) for batch in collection.find_raw_batches({})))[0] for _ in range(3))
    decoded = min(
        timed(lambda: sum(len(bson.decode_all(batch)) for batch in collection.find_raw_batches({})))[0]
        for _ in range(3)
    )
    return {"raw_rows_s": round(answers / bare), "raw_decoded_rows_s": round(answers / decoded)}


def elders_graph() -> Graph:
    return next(graph for graph in load_graphs() if graph.spec.config.name == "elder_companion")


def read(record: ElderRecord) -> tuple[str, str]:
    return record.profile.elder_id, source_version(content_digest(record))


def key_of(elder: str, version: str) -> tuple[ArtifactKey, str]:
    digest = fingerprint(
        asset="train_jsonl", partition=elder, code_version="1", inputs={"elder_memories": version},
        config=SETTINGS, generation=0,
    )  # fmt: skip
    return ArtifactKey("elder_companion", "train_jsonl", elder), digest


def commit(store: ArtifactStore, folder: Path, record: ElderRecord, questions: Path, tools: list[ToolSchema]) -> int:
    """Build one elder's rows and put them into the store."""
    key, digest = key_of(*read(record))
    with store.staging(key, digest) as staged:
        rows = build(folder / record.profile.elder_id, staged, record, questions, tools)
        files = hash_files(staged)
        manifest = Manifest(
            pipeline=key.pipeline, asset=key.asset, partition=key.partition, fingerprint=digest,
            data_version=content_version(files), code_version="1", inputs={}, config={}, files=files, created_at="",
        )  # fmt: skip
        store.commit(key, staged, manifest)
    return rows


def look_up(store: ArtifactStore, elder: str, version: str) -> None:
    """Find one elder's rows by fingerprint, and verify the hash of every file."""
    artifact = store.find(*key_of(elder, version))
    assert artifact is not None
    store.verify(artifact)


def trace_figures(folder: Path) -> dict[str, Any]:
    """What a traced step costs, and one that nobody traces."""
    steps = 300
    messages = {"messages": [{"role": "user", "content": "x" * 400}] * 6}
    with TracingResource().session(folder / "t.sqlite", {"run_id": "r"}, report=print) as figures:
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
    return {"trace_ms": round(traced_ms, 3), "untraced_us": round(10 * (time.process_time() - started), 2)}


def timed(function: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer elders")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="data-"))
    try:
        figures = rollout_figures() | row_figures(folder, 100 if quick else 1_000) | trace_figures(folder)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
