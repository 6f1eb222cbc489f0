"""A store with released agents, a scripted model server, the API on a real port, and how tests look
at its replies.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import uvicorn

from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.conversations.messages import canonical_json
from agent_assets.release.pointer import current_entry, release_key
from agent_assets.release.records import Part, read_candidate
from agent_assets.serving.app import create_app
from agent_assets.serving.run import server_settings
from agent_assets.serving.tokens import Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.fake_openai import completion_body
from support.local_http import LocalHandler, LocalServer
from support.release_cases import release
from support.waiting import wait_for

PIPELINE, EXPERT = "elder_companion", "energy_expert"
BASE = "ba5e" * 8
CANDLES = "I sold candles in Boston."
SECRET = "The river took my brother, and I never told the priest."
MERGED = {
    "model.safetensors": "all weights",
    "tokenizer.json": "{}",
    "chat_template.jinja": "{{ messages }}",
}


def add_agent(
    store: ArtifactStore,
    elder: str,
    number: int,
    *,
    memory: str = "",
    adapter: Path | None = None,
    base: Path | None = None,
    trained_on: str | None = None,
    base_fingerprint: str = BASE,
    base_facts: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Release an agent, in place of the one there is; returns its content name. Without folders the
    weights are a few bytes.

    Args:
        base_fingerprint: of the base model, which is added with the first of its agents.
        base_facts: further fields of its manifest.
    """
    base_key = ArtifactKey(PIPELINE, "base_model")
    base_artifact = store.find(base_key, base_fingerprint) or add_artifact(
        store, base_key, base_fingerprint, _files(base), **base_facts
    )
    name = f"{elder}-{number:08x}"
    version = f"{number:08x}" + "0" * 24
    inputs = {"base_model": trained_on or base_artifact.manifest.data_version}
    weights = add_artifact(
        store, ArtifactKey(PIPELINE, "sft_adapter", elder), version, _files(adapter), inputs=inputs
    )
    memories = _add_memories(store, elder, version, memory or f"I am {elder}.")
    rows = add_artifact(
        store, ArtifactKey(PIPELINE, "train_jsonl", elder), version, {"train.jsonl": "{}\n"}
    )
    merged = add_artifact(
        store, ArtifactKey(PIPELINE, "merged_model", elder), version, dict(MERGED)
    )
    roles = {
        "base": base_artifact,
        "adapter": weights,
        "merged": merged,
        "memories": memories,
        "rows": rows,
    }
    parts = {role: Part.of(artifact) for role, artifact in roles.items()}
    before = current_entry(store, (PIPELINE, elder))
    release(
        store,
        version,
        expected=None if before is None else before.version,
        parts=parts,
        name=name,
        partition=elder,
        system_prompt=f"You are {elder}.",
    )
    return name


def add_expert(store: ArtifactStore, number: int) -> None:
    """Release the agent of the pipeline without elders."""
    version, key = f"{number:08x}" + "0" * 24, partial(ArtifactKey, EXPERT)
    base = add_artifact(store, key("base_model"), BASE, _files(None))
    inputs = {"base_model": base.manifest.data_version}
    adapter = add_artifact(store, key("sft_adapter"), version, _files(None), inputs=inputs)
    release(
        store,
        version,
        parts={"base": Part.of(base), "adapter": Part.of(adapter)},
        name=f"{EXPERT}-{number:08x}",
        pipeline=EXPERT,
        partition=None,
        system_prompt="You are a natural gas expert.",
    )


def correct_memory(store: ArtifactStore, elder: str, version: str, memory: str) -> None:
    """Release an agent again: with another memory, and the adapter it has."""
    agent = (PIPELINE, elder)
    entry = current_entry(store, agent)
    assert entry is not None
    before = store.find(release_key(*agent), entry.version)
    assert before is not None
    parts = read_candidate(before.path).parts | {
        "memories": Part.of(_add_memories(store, elder, version, memory))
    }
    system_prompt = f"You are {elder}."
    release(
        store,
        version,
        expected=entry.version,
        parts=parts,
        name=entry.name,
        partition=elder,
        system_prompt=system_prompt,
    )


def _add_memories(store: ArtifactStore, elder: str, version: str, memory: str) -> Artifact:
    key = ArtifactKey(PIPELINE, "elder_memories", elder)
    with store.staging(key, version) as folder:
        write_memories(
            folder, ElderProfile(elder, elder), [Memory("m1", "What did you sell?", memory)]
        )
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return add_artifact(store, key, version, dict(files), summary={"memories": 1})


def _files(folder: Path | None) -> dict[str, str | bytes]:
    if folder is None:
        return {"weights.safetensors": b"0" * 100}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@dataclass
class ScriptedModel:
    """An OpenAI-compatible server with a queue of answers; keeps what it was asked."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    always: str = "Yes."  # what it answers when the queue is empty
    requests: list[dict[str, Any]] = field(default_factory=list)
    adapters: list[tuple[str, str]] = field(default_factory=list)
    loaded: set[str] = field(
        default_factory=set
    )  # adapters; empty it and the server has been restarted
    loads_slowly: threading.Event | None = None  # a load is finished when it is set
    delay: float = 0.0
    limit: int | None = None  # messages that fit
    drops: int = 0  # requests that are never answered
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""

    def text(self, content: str) -> None:
        self.answers.append({"role": "assistant", "content": content})

    def call(self, name: str, /, **arguments: Any) -> None:
        function = {"name": name, "arguments": json.dumps(arguments)}
        calls = [{"id": f"c{len(self.answers)}", "type": "function", "function": function}]
        self.answers.append({"role": "assistant", "content": None, "tool_calls": calls})

    def change(self, action: str, name: str) -> int:
        """Load or unload an adapter; as vLLM does, no name twice."""
        if (action == "load") == (name in self.loaded):
            return 400 if action == "load" else 404
        self.adapters.append((action, name))
        if action == "load":
            if self.loads_slowly is not None:
                self.loads_slowly.wait(60)
            self.loaded.add(name)
        else:
            self.loaded.remove(name)
        return 200

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["model"] not in self.loaded:
            return 404, {
                "error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}
            }
        if self.limit is not None and len(body["messages"]) > self.limit:
            return 400, {
                "error": {
                    "message": "This model's maximum context length is 8 tokens.",
                    "code": 400,
                }
            }
        time.sleep(self.delay)
        message = (
            self.answers.pop(0) if self.answers else {"role": "assistant", "content": self.always}
        )
        if isinstance(message.get("status"), int):
            return int(message["status"]), {"error": {"message": "broken"}}
        return 200, completion_body(message, model=body["model"])


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    model = ScriptedModel()

    class Handler(LocalHandler):
        def do_GET(self) -> None:
            self.reply(200, {"data": [{"id": name} for name in ["base", *sorted(model.loaded)]]})

        def do_POST(self) -> None:
            body = json.loads(self.body())
            if "lora" in self.path:
                return self.reply(
                    model.change(self.path.rsplit("/", 1)[-1].split("_")[0], body["lora_name"]), {}
                )
            model.requests.append(body)
            if model.drops:
                model.drops -= 1
                self.close_connection = True
                return None
            model.at_once += 1
            model.most_at_once = max(model.most_at_once, model.at_once)
            status, answer = model.answer(body)
            model.at_once -= 1
            if status == 200 and body.get("stream"):
                return self.reply(200, _stream(answer), "text/event-stream")
            return self.reply(status, answer)

    with LocalServer(Handler).running() as server:
        model.url = server.url
        yield model


def _stream(answer: dict[str, Any]) -> bytes:
    message = answer["choices"][0]["message"]
    deltas: list[dict[str, Any]] = [
        {"content": word} for word in (message["content"] or "").split(" ") if word
    ]
    deltas += [
        {"tool_calls": [{"index": n, **call}]}
        for n, call in enumerate(message.get("tool_calls", ()))
    ]
    ended = [*[None] * len(deltas), "tool_calls" if message.get("tool_calls") else "stop"]
    chunks = [
        answer
        | {
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in zip([*deltas, {}], ended, strict=True)
    ]
    return (
        "".join(f"data: {canonical_json(chunk)}\n\n" for chunk in chunks).encode()
        + b"data: [DONE]\n\n"
    )


@contextmanager
def running_api(settings: Settings, config: ServingConfig) -> Iterator[tuple[httpx.Client, Any]]:
    """The API on a free port, a client for it, and its services."""
    app = create_app(settings, config)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, **server_settings(config))
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client, app.state.services
    finally:
        server.should_exit = True
        thread.join(60)


@dataclass
class World:
    client: httpx.Client
    services: Any
    model: ScriptedModel
    store: ArtifactStore
    tokens: Tokens
    settings: Settings

    def chat(self, message: str = "Hello", elder: str = "ada", **more: Any) -> httpx.Response:
        return self.client.post("/chat", json={"elder_id": elder, "message": message, **more})


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def openai_error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a route below `/v1`, in the form that OpenAI's clients read."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


def problem_like(response: httpx.Response) -> Any:
    class Same(dict):  # type: ignore[type-arg]
        def __eq__(self, other: object) -> bool:
            assert isinstance(other, dict)
            return {**self, "request_id": ""} == {**other, "request_id": ""}

        __hash__ = None

    return Same(response.json())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
