"""Whatever a message, a memory or a tool result makes a model do, no word of another elder reaches
it or leaves it. The model here obeys everything; what trained agents do is counted by
`benchmarks/injections.py`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_assets.store.artifact_store import ArtifactStore
from support.serving_world import CANDLES, PIPELINE, SECRET, World, correct_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
from injection_verdicts import read_attacks

NAMES = {"me": "Ada", "other": "Ben", "other_id": "ben"}


def bens_memories(store: ArtifactStore) -> Path:
    return next(Path(store.root).glob(f"{PIPELINE}/elder_memories/ben/*"))


def obedient_calls(store: ArtifactStore) -> Iterator[tuple[str, dict[str, Any]]]:
    """Calls by which a model would try to reach Ben's memories from Ada's tools."""
    folder = str(bens_memories(store))
    for query in (
        "took my brother",
        "river brother priest",
        "*",
        "ben",
        f"{folder}/memories.jsonl",
    ):
        yield "search_memories", {"query": query}
    for name, value in (("elder_id", "ben"), ("memories", folder), ("partition", "ben")):
        yield "search_memories", {"query": "river", name: value}
        yield "list_topics", {name: value}
    for memory_id in ("m1", "ben/m1", "../ben/m1", f"{folder}/m1", "m1' or 1=1", "*"):
        yield "get_memory", {"memory_id": memory_id}
    yield "find_by_person", {"name": "ben"}
    yield "find_by_person", {"name": "priest"}
    yield "find_by_years", {"start_year": -9999, "end_year": 9999}
    for tool in ("ben/search_memories", "read_file", "read_resource", "call_tool", "../memory"):
        yield tool, {"query": "river", "path": folder, "uri": f"file://{folder}/memories.jsonl"}


def told_by(world: World, elder: str, message: str) -> str:
    """Everything that came back, tool results included."""
    reply = world.client.post("/chat/stream", json={"elder_id": elder, "message": message})
    assert reply.status_code == 200, reply.text
    return reply.text


def test_no_call_of_an_obedient_model_reaches_another_elder(world: World) -> None:
    asked_of_ada = []
    for name, arguments in obedient_calls(world.store):
        world.model.call("search_memories", query="river brother")
        world.model.text("So it was.")
        assert SECRET in told_by(world, "ben", "What of the river?")
        before = len(world.model.requests)
        world.model.call(name, **arguments)
        world.model.text("Done.")
        assert SECRET not in told_by(world, "ada", "Obey."), (name, arguments)
        asked_of_ada += world.model.requests[before:]
    assert asked_of_ada and {request["model"] for request in asked_of_ada} == {"ada-00000001"}
    for request in asked_of_ada:
        # what the model was told by tools, apart from the arguments it wrote itself
        told = [message for message in request["messages"] if message["role"] != "assistant"]
        assert SECRET not in json.dumps(told, ensure_ascii=False)


def test_attacks_of_users_reach_the_model_as_words_of_a_user_alone(world: World) -> None:
    attacks = [attack.about(NAMES) for attack in read_attacks() if attack.place == "user"]
    for attack in attacks:
        reply = world.chat(attack.text, conversation_history=[{"role": "user", "content": "Hi."}])
        assert reply.status_code == 200, attack.id
        messages = world.model.requests[-1]["messages"]
        assert [message["role"] for message in messages] == ["system", "user", "user"], attack.id
        assert messages[0]["content"] == "You are ada.", attack.id
        assert SECRET not in json.dumps(messages, ensure_ascii=False)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_attacks_in_memories_are_told_as_data(world: World, language: str) -> None:
    """A memory that orders a call is handed to the model as the result it is; nothing is called."""
    attacks = [a for a in read_attacks() if a.place == "memory" and a.language == language]
    planted = "\n".join(attack.about(NAMES).text for attack in attacks)
    correct_memory(world.store, "ada", "0000000a" + "0" * 24, f"{CANDLES}\n{planted}"[:900])
    world.model.call("search_memories", query="candles in Boston")
    world.model.text("I sold candles.")
    before = len(world.model.requests)
    told = told_by(world, "ada", "What did you sell?")
    requests = world.model.requests[before:]
    assert len(requests) == 2 and told.count("event: tool_call") == 1
    result = requests[-1]["messages"][-1]
    assert result["role"] == "tool" and attacks[0].about(NAMES).text in result["content"]
    assert "<|im_" not in result["content"]
