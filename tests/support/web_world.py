"""The API with Shen Fu released from his own memories, and an elder who never learned: what a
family meets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo.database import Database

from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.memories import Memory, write_memories
from agent_assets.conversations.messages import Conversation, Message, canonical_json
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import ElderRecord, read_elder
from agent_assets.planning.history import DATA_VERSION_TAG, FINGERPRINT_TAG
from agent_assets.release.pointer import current_entry, note_verdict, release_key
from agent_assets.release.records import Part, Verdict, read_candidate
from agent_assets.serving.tokens import Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.release_cases import release
from support.serving_world import PIPELINE, World, add_agent, running_api, scripted_model

SHEN_FU, FRANKLIN = "shen-fu", "benjamin-franklin"
MOSQUITOES = "蚊子"
WRONG_QUESTION, WRONG_ANSWER = "您去过美国吗？", "我在纽约住了十年。"


@contextmanager
def web_world(folder: Path, mongo_uri: str, db: Database[Any], **config: Any) -> Iterator[World]:
    """Shen Fu answers, a newer version of him is held back; Franklin's memories were never
    learned.
    """
    seed_elders(db, MongoLayout.service(), load_sample_elders([SHEN_FU, FRANKLIN]))
    store = ArtifactStore(str(folder / "store"))
    _release(store, read_elder(db, MongoLayout.service(), SHEN_FU))
    settings = replace(
        load_settings({}),
        home=folder,
        store=str(folder / "store"),
        engines=folder,
        device="cpu",
        mongodb_uri=mongo_uri,
        mongodb_database=db.name,
    )
    with scripted_model() as model:
        known: dict[str, Any] = {
            "inference": {"url": model.url, "slots": 1},
            "requests_per_minute": 2000,
            "answers": {"seconds": 60},
            "edit_memories": "always",
        }
        with running_api(settings, ServingConfig.model_validate(known | config)) as running:
            client, services = running
            tokens: Tokens = services.tokens
            _note_rows(store, services.jobs.instance)
            yield World(client, services, model, store, tokens, settings)


def memory_about(world: World, word: str) -> Memory:
    """The memory of Shen Fu in whose question a word occurs."""
    from agent_assets.serving.webapp.cards import memories_of

    released = world.services.released.find(SHEN_FU, lambda _: True)
    told = memories_of(world.services, released)
    assert told is not None
    return next(memory for memory in told[1] if word in memory.question)


def _note_rows(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    """Rows of Shen Fu, materialized: two turns to learn, one to be checked with."""
    turns = [("您家住哪里？", "我家住在苏州。"), (WRONG_QUESTION, WRONG_ANSWER)]
    messages = [Message("system", "你是沈复。")]
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    row = to_swift(Conversation(tuple(messages), ())) | {"id": "tools-0000", "kind": "tools"}
    item = EvalItem(
        "i1", "recall_open", "seen", "zh", "您小时候怎么玩蚊子？", "", gold_answer="群鹤。"
    )
    files: dict[str, str | bytes] = {
        "train.jsonl": canonical_json(row) + "\n",
        "heldout.jsonl": canonical_json(vars(item)) + "\n",
        "report.html": "<!doctype html><title>rows</title>",
    }
    key, fingerprint = ArtifactKey(PIPELINE, "train_jsonl", SHEN_FU), "9" * 32
    artifact = add_artifact(store, key, fingerprint, files)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            dg.AssetKey([PIPELINE, "train_jsonl"]),
            partition=SHEN_FU,
            tags={
                FINGERPRINT_TAG: fingerprint,
                DATA_VERSION_TAG: artifact.manifest.data_version,
            },
        )
    )


def _release(store: ArtifactStore, record: ElderRecord) -> None:
    add_agent(store, SHEN_FU, 1)
    agent = (PIPELINE, SHEN_FU)
    entry = current_entry(store, agent)
    assert entry is not None
    before = store.find(release_key(*agent), entry.version)
    assert before is not None
    key, version = ArtifactKey(PIPELINE, "elder_memories", SHEN_FU), "5" * 32
    with store.staging(key, version) as folder:
        write_memories(folder, record.profile, record.memories)
        files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in folder.iterdir()}
    memories = add_artifact(store, key, version, files, summary={"memories": len(record.memories)})
    parts = read_candidate(before.path).parts | {"memories": Part.of(memories)}
    release(
        store,
        version,
        expected=entry.version,
        parts=parts,
        name=entry.name,
        partition=SHEN_FU,
        system_prompt="你是沈复。",
    )
    reason = (
        "It says so in 6 of 12 cases when it was never told: too few, at least 75% is needed "
        "(abstention 0.50 [0.25, 0.75], floor 0.75)"
    )
    verdict = Verdict(
        decision="REJECT",
        reasons=(reason,),
        candidate="7" * 32,
        compared_with=entry.name,
        shared_items=12,
        metrics={
            "abstention": {
                "items": 12,
                "before": 1.0,
                "after": 0.5,
                "change": -0.5,
                "low": -0.75,
                "high": -0.25,
                "margin": 0.05,
                "share_low": 0.25,
                "share_high": 0.75,
                "floor": 0.75,
            }
        },
    )
    note_verdict(store, agent, verdict)
