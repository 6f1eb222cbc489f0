"""Rows of many elders from a real MongoDB: how fast they are made, committed, and found
unchanged.
"""

import asyncio
import hashlib
import shutil
import sys
import tempfile
import time
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import bson
from artifacts import manifest_of
from elders_database import fill, timed

from agent_assets.agent.mcp.toolbox import load_mcp_config, open_toolbox
from agent_assets.automation.pipelines import load_graphs
from agent_assets.automation.sources import MongoElders
from agent_assets.conversations.memories import MEMORIES_FILE, PROFILE_FILE, write_memories
from agent_assets.conversations.messages import (
    ToolCall,
    ToolResult,
    ToolSchema,
    canonical_text_json,
)
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import ElderRecord, content_digest, iter_elders
from agent_assets.mongo.retry import connect
from agent_assets.planning.elders import check_elders
from agent_assets.planning.fingerprint import fingerprint, source_version
from agent_assets.planning.index import PlanIndex
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.synthesis.build import (
    COVERAGE_FILE,
    HELDOUT_FILE,
    REJECTS_FILE,
    TRAIN_FILE,
    make_rows,
)
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.question import read_questions, write_questions
from agent_assets.synthesis.questions.questions import make_questions

DEFS = Path(__file__).resolve().parent.parent / "agent_assets" / "defs" / "elder_companion"
ANSWERS = 100
# Rows that need no tool server: every memory is told once, nothing is looked up and nothing held
# out.
CLOSED_BOOK = RowsConfig(
    open_per_memory=0,
    closed_per_memory=1,
    open_heldout_share=0,
    never_told_repeats=0,
    memory_tool_questions=0,
    heldout_memory_tool_questions=0,
    heldout_recall=0,
)
SETTINGS = CLOSED_BOOK.model_dump()


class NoTools:
    annotations: dict[str, dict[str, bool]] = {}  # noqa: RUF012

    async def call(self, call: ToolCall) -> ToolResult:
        raise AssertionError("closed-book rows call nothing")


async def make_questions_folder(folder: Path) -> list[ToolSchema]:
    """Recall questions as the shipped pipeline asks them."""
    servers = load_mcp_config(DEFS / "mcp_config.json", {"python": sys.executable, "memories": "-"})
    async with open_toolbox(servers) as toolbox:
        config = QuestionsConfig(languages=["en", "zh"])
        make_questions(
            folder, tools=toolbox.tools, config=config, templates_file=DEFS / "wordings.yaml"
        )
        write_questions(
            folder, [question for question in read_questions(folder) if question.kind == "recall"]
        )
        return toolbox.tools


def build_plain(folder: Path, record: ElderRecord, questions: Path, tools: list[ToolSchema]) -> int:
    """One elder's memories and rows in folders of their own, without the store."""
    rows = folder / record.profile.elder_id
    rows.mkdir(parents=True)
    return build(
        folder.with_name("memories") / record.profile.elder_id, rows, record, questions, tools
    )


def build(
    memories: Path, rows: Path, record: ElderRecord, questions: Path, tools: list[ToolSchema]
) -> int:
    """One elder's memories and rows, as the stages write them."""
    memories.mkdir(parents=True)
    write_memories(memories, record.profile, record.memories)
    summary = asyncio.run(
        make_rows(
            rows,
            questions_folder=questions,
            tools=tools,
            toolbox=NoTools(),
            memories_folder=memories,
            config=CLOSED_BOOK,
            system_prompt=None,
            templates_file=DEFS / "wordings.yaml",
        )
    )
    return int(summary["exchanges"])


def digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.jsonl")):
        digest.update(
            f"{path.relative_to(folder).parts[0]}/{path.name}".encode() + path.read_bytes()
        )
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
                return sum(
                    build_plain(folder / "plain", r, questions, tools)
                    for r in iter_elders(db, layout)
                )

            def first() -> int:
                return sum(
                    commit(store, folder / "first", r, questions, tools)
                    for r in iter_elders(db, layout)
                )

            floor, _ = timed(lambda: floor_pass(db, folder / "floor"))
            plain, rows = timed(written)
            seconds, _ = timed(first)

            def reread() -> None:
                for record in iter_elders(db, layout):
                    look_up(store, *read(record))

            again, _ = timed(reread)
            unchanged, looked_up = quiet_look(store, mongod.uri, folder)
    finally:
        shutil.rmtree(database)
    assert (rows, looked_up) == (elders * ANSWERS, elders), (rows, looked_up)
    print(f"{rows} rows of {elders} elders: {plain:.2f} s, {seconds:.2f} s with the store")
    print(
        f"  found unchanged in {unchanged:.2f} s by checksums, {again:.2f} s when every answer is "
        "read"
    )
    figures |= {"floor_rows_s": round(rows / floor), "jsonl_rows_s": round(rows / plain)}
    figures |= {"committed_rows_s": round(rows / seconds)}
    return figures | {
        "elders": elders,
        "jsonl_vs_raw_ratio": round(figures["jsonl_rows_s"] / figures["raw_rows_s"], 4),
        "floor_vs_raw_ratio": round(figures["floor_rows_s"] / figures["raw_rows_s"], 4),
        "jsonl_vs_decoded_ratio": round(figures["jsonl_rows_s"] / figures["raw_decoded_rows_s"], 4),
        "unchanged_ratio": round(unchanged / seconds, 4),
        "reread_ratio": round(again / seconds, 4),
        "identical": digest_of(folder / "plain")
        == digest_of(folder / "store" / "elder_companion" / "train_jsonl"),
    }


def floor_pass(db: Any, folder: Path) -> None:
    """The least that any program in this language does: answers sorted by elder, a JSON line each,
    files per elder.
    """
    answers = db.answers.find(
        {}, {"_id": 0, "elderId": 1, "questionId": 1, "answer": 1}, sort=[("elderId", 1)]
    )
    for elder, elder_answers in groupby(answers, key=itemgetter("elderId")):
        memories, rows = folder / "memories" / elder, folder / "rows" / elder
        memories.mkdir(parents=True)
        rows.mkdir(parents=True)
        (memories / PROFILE_FILE).write_bytes(b"{}")
        (memories / MEMORIES_FILE).write_bytes(b"")
        (rows / TRAIN_FILE).write_bytes(
            b"".join(canonical_text_json(answer) + b"\n" for answer in elder_answers)
        )
        for name in (HELDOUT_FILE, REJECTS_FILE, COVERAGE_FILE):
            (rows / name).write_bytes(b"")


def quiet_look(store: ArtifactStore, uri: str, folder: Path) -> tuple[float, int]:
    """Seconds in which all rows are found unchanged, and of how many elders; the plan's index saw
    them before.
    """
    mongo, index = MemoryDatabase(uri=uri, database="fleet"), PlanIndex(folder / "plan")
    source = MongoElders(
        mongo, next(graph for graph in load_graphs() if graph.spec.config.name == "elder_companion")
    )
    check_elders(source, index, now=time.time(), full=True)

    def look() -> int:
        looked_at = check_elders(source, index, now=time.time(), full=True)
        for elder, version in looked_at.digests.items():
            look_up(store, elder, version)
        return len(looked_at.digests)

    seconds, elders = timed(look)
    mongo.close()
    return seconds, elders


def raw_figures(collection: Any, answers: int) -> dict[str, Any]:
    """The best of three passes: the collection is in memory then, as it is for what is measured
    next.
    """
    bare = min(
        timed(lambda: sum(len(batch) for batch in collection.find_raw_batches({})))[0]
        for _ in range(3)
    )
    decoded = min(
        timed(
            lambda: sum(len(bson.decode_all(batch)) for batch in collection.find_raw_batches({}))
        )[0]
        for _ in range(3)
    )
    return {"raw_rows_s": round(answers / bare), "raw_decoded_rows_s": round(answers / decoded)}


def read(record: ElderRecord) -> tuple[str, str]:
    return record.profile.elder_id, source_version(content_digest(record))


def key_of(elder: str, version: str) -> tuple[ArtifactKey, str]:
    digest = fingerprint(
        asset="train_jsonl",
        partition=elder,
        code_version="1",
        inputs={"elder_memories": version},
        config=SETTINGS,
        incarnation=0,
    )
    return ArtifactKey("elder_companion", "train_jsonl", elder), digest


def commit(
    store: ArtifactStore,
    folder: Path,
    record: ElderRecord,
    questions: Path,
    tools: list[ToolSchema],
) -> int:
    """Build one elder's rows and put them into the store."""
    key, digest = key_of(*read(record))
    with store.staging(key, digest) as staged:
        rows = build(folder / record.profile.elder_id, staged, record, questions, tools)
        store.commit(key, staged, manifest_of(key, digest, staged))
    return rows


def look_up(store: ArtifactStore, elder: str, version: str) -> None:
    """Find one elder's rows by fingerprint, and verify the hash of every file."""
    artifact = store.find(*key_of(elder, version))
    assert artifact is not None
    store.verify(artifact)
