"""An elder who had everything is erased over the API: not a byte of theirs is left, nobody else
loses one, and the receipt says what went.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from agent_assets.agent.trace_store import TraceServer
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.erasure.receipts import Receipt, ReceiptChain
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.release.pointer import released_agents
from agent_assets.reviews.store import ChatMark, Reviews
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.serving.tokens import Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import agent_logs, llm_folder, trace_file
from support.artifacts import add_artifact
from support.canaries import hits
from support.command_line import OURS
from support.fleet import NAMES, Fleet, World
from support.serving_world import PIPELINE, ScriptedModel, add_agent, running_api, scripted_model

ELDER, OTHER = "eleanor-zquist", "benjamin-franklin"
CANARY = "The heron of Zquistfjord never came back to our mill."
OTHERS_WORDS = "Thirty of us formed the Union Fire Company, and we met once a month."


class Home:
    """A home with two elders, of whom one is to be erased, and everything they leave behind."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        mongod = stack.enter_context(start_mongod(folder / "mongodb"))
        os.environ["MONGODB_URI"] = mongod.uri
        self.settings = load_settings()
        self.store = ArtifactStore(self.settings.store)
        self.mongo = MemoryDatabase(mongod.uri, self.settings.mongodb_database)
        stack.callback(self.mongo.close)

    def fill(self) -> None:
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        self._tell()
        for elder, number, words in ((ELDER, 1, CANARY), (OTHER, 2, OTHERS_WORDS)):
            add_agent(self.store, elder, number, memory=words)
            self._train(elder, words)
            self._leave_behind(elder, words)
        (self.folder / "exports" / ELDER / "empty").mkdir(parents=True)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in (CANARY, OTHERS_WORDS))
        (self.folder / "exports" / "rows.jsonl").write_text(rows)
        (self.folder / "exports" / "theirs.jsonl").write_text(rows.splitlines()[1])
        (self.folder / "logs" / "daemon.log").write_text(
            f"run of {ELDER} and of {OTHER}\n{PIPELINE}-{ELDER}-0123456789ab-1\n"
        )
        self._build()
        tokens = Tokens(str(self.settings.mongodb_uri), self.settings)
        tokens.create("elder", elder=ELDER, name=f"daughter of {ELDER}")
        tokens.close()
        reviews = Reviews(str(self.settings.mongodb_uri), self.settings.mongodb_database)
        for elder, words in ((ELDER, CANARY), (OTHER, OTHERS_WORDS)):
            mark = ChatMark(elder, "version", words, words, (), "wrong", "", words, "token")
            reviews.note_mark(mark)
        reviews.close()

    def _tell(self) -> None:
        db = self.mongo.db
        seed_elders(db, MongoLayout.service(), load_sample_elders([OTHER]))
        question = db.questions.find_one({})
        assert question is not None
        texts = [CANARY, *(f"Story {number}: {CANARY}" for number in range(30))]
        db.answers.insert_many(
            [
                {"elderId": ELDER, "questionId": question["_id"], "answer": text, "n": number}
                for number, text in enumerate(texts)
            ]
        )
        db.elders.insert_one({"elderId": ELDER, "name": "Eleanor Zquist", "hobby": CANARY})
        db.questions.insert_one(
            {"_id": ObjectId(), "questionText": f"{CANARY} Did it?", "elderId": ELDER}
        )

    def _train(self, elder: str, words: str) -> None:
        """A trajectory of RL, and a version that was set aside."""
        files: dict[str, str | bytes] = {"trajectories.jsonl": words, "adapter.safetensors": words}
        key = ArtifactKey(PIPELINE, "rl_checkpoint", elder)
        add_artifact(self.store, key, "7" * 32, files)
        add_artifact(self.store, key, "8" * 32, files)
        self.store.set_aside(key, "8" * 32)
        resumed = self.store.temporary_folder(key) / "resume"
        resumed.mkdir(parents=True)
        (resumed / "rollouts.jsonl").write_text(words)

    def _leave_behind(self, elder: str, words: str) -> None:
        """A trace, an answer of a teacher, and the log of a tool server."""
        traces = TraceServer(trace_file(self.store, PIPELINE, elder))
        start = {"id": "1", "trace_id": "t", "parent_id": None, "op_name": "llm_call"}
        about = {"attributes": {"elder": elder}, "inputs": {"messages": words}}
        traces.call_start({"start": {**start, "started_at": "2026-01-01", **about}})
        traces.close()
        answers = llm_folder(self.store, PIPELINE, elder)
        answers.mkdir(parents=True)
        (answers / "one.json").write_text(words)
        log = agent_logs(self.folder / "logs", PIPELINE, elder) / "mcp-memories.log"
        log.parent.mkdir(parents=True)
        log.write_text(words)

    def _build(self) -> None:
        """Runs in Dagster: the first makes what is shared, and belongs to the elder who goes."""
        prepare_dagster_home(self.settings)
        with open_instance(self.settings) as instance:
            fleet = Fleet(instance, self.folder.parent / "fleet", World())
            for elder, words in ((ELDER, CANARY), (OTHER, OTHERS_WORDS)):
                fleet.add(elder, words)
                assert fleet.materialize(elder, NAMES).success
            instance.add_dynamic_partitions("elders", [ELDER, OTHER])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONGODB_URI", "")  # put back afterwards, whatever is set meanwhile
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path / "home"))
    with ExitStack() as stack:
        yield Home(tmp_path / "home", stack)


def chat(client: Any, elder: str) -> int:
    return int(client.post("/chat", json={"elder_id": elder, "message": "Hello"}).status_code)


def bytes_of_the_other(home: Home) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in home.folder.rglob("*")
        if path.is_file() and OTHER in str(path) and ".locks" not in path.parts
    }


def config(model: ScriptedModel) -> ServingConfig:
    inference = {"url": model.url, "slots": 2, "max_concurrency": 4}
    return ServingConfig.model_validate({"inference": inference, "answers": {"seconds": 20}})


def test_an_erased_elder_leaves_no_byte_and_nobody_else_loses_one(home: Home) -> None:
    home.fill()
    with scripted_model() as model, running_api(home.settings, config(model)) as (client, services):
        admin = {"Authorization": f"Bearer {services.tokens.create('admin')}"}
        client.headers.update(admin)
        assert chat(client, ELDER) == chat(client, OTHER) == 200
        assert model.loaded == {f"{ELDER}-00000001", f"{OTHER}-00000002"}
        documents = list(home.mongo.db.answers.find({"elderId": OTHER}))
        others = bytes_of_the_other(home)
        assert len(hits(home.folder, CANARY, "Zquist", ELDER)) > 30

        refused = client.delete(f"/elders/{ELDER}")
        assert refused.status_code == 409 and "MongoDB still has memories" in refused.text
        assert chat(client, ELDER) == 200

        reply = client.delete(f"/elders/{ELDER}", params={"source": True, "why": "asked for"})
        assert reply.status_code == 200, reply.text
        assert model.loaded == {f"{OTHER}-00000002"}
        assert [name.split("/")[1] for name in services.answering.sessions.names] == [OTHER]
        assert chat(client, ELDER) == 404 and chat(client, OTHER) == 200
        assert client.delete(f"/elders/{ELDER}").status_code == 404

        assert list(home.mongo.db.answers.find({"elderId": OTHER})) == documents
    receipt = Receipt.model_validate(reply.json())
    check_receipt(home, receipt)
    assert bytes_of_the_other(home) == others
    assert released_agents(home.store) == [(PIPELINE, OTHER)]
    assert hits(home.folder, CANARY, "Zquist") == []
    # the id alone stays, in the tombstone that keeps a later elder from inheriting anything
    named = {str(Path(hit).parent) for hit in hits(home.folder, ELDER)}
    assert named == {"store/.tombstones"}
    with open_instance(home.settings) as instance:
        fleet = Fleet(instance, home.folder.parent / "fleet", World(memories={OTHER: OTHERS_WORDS}))
        assert fleet.plan().runs == ()  # what the erased elder's run made for everybody is there


def check_receipt(home: Home, receipt: Receipt) -> None:
    chain = ReceiptChain(home.folder)
    assert chain.all() == [receipt] and chain.problems() == [] and receipt.is_of(ELDER)
    assert receipt.why == "asked for" and receipt.who.startswith("token ")
    empty = {
        "rows of the plan's index",
        "temporary folders of killed programs",
        "traces at W&B",
    }
    held = {name for name, found in receipt.places.items() if found.count}
    assert receipt.places.keys() - empty <= held
    assert any("backups" in sentence for sentence in receipt.out_of_reach)
