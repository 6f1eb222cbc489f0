"""One memory is forgotten: what holds it is gone and does not answer, what is without it stays."""

import json
from pathlib import Path

import pytest
from bson import ObjectId
from click.testing import CliRunner
from pymongo.database import Database

from agent_assets.agent.trace_store import TraceServer, list_traces
from agent_assets.cli.main import commands
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.erasure.receipts import ReceiptChain
from agent_assets.errors import AgentAssetsError
from agent_assets.mongo.answers import question_memory_ids
from agent_assets.release.pointer import read_ledger, released_agents
from agent_assets.release.records import Part
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import artifact_keys, trace_file
from support.artifacts import add_artifact
from support.canaries import hits
from support.command_line import OURS
from support.mongo_fixtures import Document
from support.release_cases import release

PIPELINE, ELDER = "elder_companion", "eleanor"
WITH, WITHOUT = "a" * 32, "b" * 32
CANARY = "The heron of Zquistfjord never came back to our mill."
OTHER_STORY = "I sold candles in Boston until I was twelve."


class Life:
    """An elder who told two stories, of which one is to be forgotten."""

    def __init__(self, db: Database[Document], folder: Path) -> None:
        self.db, self.folder = db, folder
        self.store = ArtifactStore(load_settings().store)
        questions = [ObjectId(), ObjectId()]
        for question, text in zip(questions, (CANARY, OTHER_STORY), strict=True):
            db.questions.insert_one({"_id": question, "questionText": "What do you remember?"})
            db.answers.insert_one({"elderId": ELDER, "questionId": question, "answer": text})
        self.memory, self.other = (
            question_memory_ids(ELDER, str(question), "")[0] for question in questions
        )
        told = [Memory(self.memory, "?", CANARY), Memory(self.other, "?", OTHER_STORY)]
        self._release(WITHOUT, told[1:], before=None)
        self._release(WITH, told, before=WITHOUT)
        self._trace("with", CANARY)
        self._trace("without", OTHER_STORY)
        log = load_settings().home / "logs" / "agents" / PIPELINE / ELDER / "mcp-memories.log"
        log.parent.mkdir(parents=True)
        log.write_text(CANARY)

    def _release(self, fingerprint: str, told: list[Memory], *, before: str | None) -> None:
        """Release a version, from memories to weights."""
        memories = self.folder / fingerprint
        memories.mkdir()
        write_memories(memories, ElderProfile(ELDER, "Eleanor"), told)
        files: dict[str, str | bytes] = {f.name: f.read_bytes() for f in memories.iterdir()}
        made = {"elder_memories": self._add("elder_memories", fingerprint, files)}
        words = "\n".join(memory.answer for memory in told)
        for asset, parent, name in (
            ("train_jsonl", "elder_memories", "train.jsonl"),
            ("sft_adapter", "train_jsonl", "adapter.safetensors"),
        ):
            inputs = {parent: made[parent].manifest.data_version}
            made[asset] = self._add(asset, fingerprint, {name: words}, inputs)
        weights = made["sft_adapter"]
        release(
            self.store,
            fingerprint,
            expected=before,
            parts={"adapter": Part.of(weights)},
            inputs={"sft_adapter": weights.manifest.data_version},
            partition=ELDER,
            name=f"{ELDER}-{fingerprint[:8]}",
        )

    def _trace(self, trace: str, words: str) -> None:
        server = TraceServer(trace_file(self.store, PIPELINE, ELDER))
        start = {"id": trace, "trace_id": trace, "parent_id": None, "op_name": "llm_call"}
        about = {"attributes": {"elder": ELDER}, "inputs": {"messages": words}}
        server.call_start({"start": {**start, "started_at": "2026-01-01", **about}})
        server.close()

    def _add(
        self,
        asset: str,
        fingerprint: str,
        files: dict[str, str | bytes],
        inputs: dict[str, str] | None = None,
    ) -> Artifact:
        key = ArtifactKey(PIPELINE, asset, ELDER)
        return add_artifact(self.store, key, fingerprint, files, inputs=inputs or {})


@pytest.fixture
def life(
    mongo_uri: str, mongo_db: Database[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Life:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", mongo_db.name)
    return Life(mongo_db, tmp_path)


def erase(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["erase", ELDER, "--yes", *arguments])
    error = result.exception
    reason = str(error) if isinstance(error, AgentAssetsError) else ""
    return result.exit_code, result.output + reason


def test_what_holds_it_is_gone_and_what_is_without_it_stays(life: Life) -> None:
    home = load_settings().home
    clean = {
        str(path): path.read_bytes()
        for key in artifact_keys(life.store, partition=ELDER)
        for path in (Path(life.store.root) / key.folder / WITHOUT).iterdir()
    }
    code, output = erase("--memory", life.memory)
    assert code == 1 and f"MongoDB still has the memory '{life.memory}'" in output
    assert released_agents(life.store) == [(PIPELINE, ELDER)]
    code, output = erase("--memory", life.memory, "--source", "--why", "asked for")
    assert code == 0 and f"{life.memory} of {ELDER} is erased: receipt 1" in output
    assert hits(home, CANARY, "Zquistfjord") == []
    assert {Path(hit).parts[1] for hit in hits(home, WITH)} == {".releases"}  # their history
    assert {path: Path(path).read_bytes() for path in clean} == clean
    assert released_agents(life.store) == []  # it answered with a version that held it
    history = [entry.action for entry in read_ledger(life.store, (PIPELINE, ELDER)).history]
    assert history == ["promote", "promote", "drop"]
    traces = list_traces(trace_file(life.store, PIPELINE, ELDER))
    assert [line.trace_id for line in traces] == ["without"]
    assert [document["answer"] for document in life.db.answers.find()] == [OTHER_STORY]
    (receipt,) = ReceiptChain(home).all()
    assert receipt.kind == "memory" and receipt.is_of(ELDER, life.memory)
    assert receipt.places["releases"].count == receipt.places["traces"].count == 1
    assert receipt.places["documents in MongoDB"].count == 1
    assert "MongoDB is not this installation's own" in json.dumps(receipt.out_of_reach)
    code, output = erase("--memory", life.memory)
    assert code == 1 and f"There is no memory '{life.memory}'" in output


def test_a_version_whose_memories_are_gone_counts_as_one_that_holds_it(life: Life) -> None:
    """Nobody can say any more that it is without it."""
    key = ArtifactKey(PIPELINE, "elder_memories", ELDER)
    for fingerprint in (WITH, WITHOUT):
        for path in (Path(life.store.root) / key.folder / fingerprint).iterdir():
            path.unlink()
        (Path(life.store.root) / key.folder / fingerprint).rmdir()
    assert erase("--memory", life.memory, "--source")[0] == 0
    assert [k for k in artifact_keys(life.store, partition=ELDER) if life.store.versions(k)] == []
