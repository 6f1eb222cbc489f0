"""Real vLLM behind the API: adapters come and go, never answer for each other, and come back after
a crash.
"""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from agent_assets.engines.environment import find_engine_env
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactStore
from support.command_line import agent_assets
from support.local_http import CountingServer
from support.serving_world import add_agent, running_api
from support.tiny_model import make_tiny_adapter, make_tiny_model
from support.waiting import wait_for

pytestmark = pytest.mark.engine
ELDERS = ("ada", "ben", "eve")
OTHER_BASE = "07ba5e" * 5 + "07"
Fingerprint = list[dict[str, float]]


@dataclass
class World:
    client: httpx.Client
    services: Any
    settings: Settings

    def fingerprint(self, elder: str) -> Fingerprint:
        """Log probabilities along an answer that is one token again and again: free answers fork
        where two tokens are equally likely, and then say nothing about who answered.
        """
        body = {
            "model": elder,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 8,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 5,
            "logit_bias": {"260": 100},
        }
        reply = self.client.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        tokens = reply.json()["choices"][0]["logprobs"]["content"]
        return [
            {
                alternative["token"]: alternative["logprob"]
                for alternative in [*token["top_logprobs"], token]
            }
            for token in tokens
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, mongo_uri: str) -> Iterator[World]:
    """Three agents on two slots."""
    env = find_engine_env("cpu")
    folder = tmp_path_factory.mktemp("serving")
    model_dir = make_tiny_model(folder / "model", env)
    store = ArtifactStore(str(folder / "store"))
    for number, elder in enumerate(ELDERS, start=1):
        adapter = make_tiny_adapter(folder / elder, model_dir, env, seed=number)
        add_agent(store, elder, number, base=model_dir, adapter=adapter)
    settings = replace(
        load_settings(),
        home=folder,
        store=store.root,
        device="cpu",
        mongodb_uri=mongo_uri,
        mongodb_database="serving_vllm_test",
    )
    config = ServingConfig.model_validate(
        {
            "inference": {"slots": 2, "max_rank": 8, "max_model_len": 1024},
            "answers": {"max_tokens": 16},
            "requests_per_minute": 6000,
        }
    )
    with running_api(settings, config) as (client, services):
        client.timeout = httpx.Timeout(400)
        yield World(client, services, settings)
    server = services.inference.current
    assert server is None or server.state == "cold"


def same(first: Fingerprint, second: Fingerprint) -> bool:
    """Rounding moves these log probabilities by 0.001 on average, another adapter by 0.08 and
    more.
    """
    gaps = [
        abs(a[token] - b[token])
        for a, b in zip(first, second, strict=True)
        for token in a.keys() & b.keys()
    ]
    return sum(gaps) / len(gaps) < 0.01


def test_agents_on_fewer_slots_never_answer_for_each_other(world: World) -> None:
    alone = {elder: world.fingerprint(elder) for elder in ELDERS}
    assert not any(same(alone[a], alone[b]) for a in ELDERS for b in ELDERS if a != b)
    with ThreadPoolExecutor(6) as pool:
        mixed = list(
            pool.map(lambda n: (ELDERS[n % 3], world.fingerprint(ELDERS[n % 3])), range(18))
        )
    wrong = [elder for elder, fingerprint in mixed if not same(fingerprint, alone[elder])]
    assert wrong == []
    assert len(world.services.inference.current.pool.loaded) == 2


def test_an_agent_with_its_tools_answers(world: World) -> None:
    reply = world.client.post("/chat", json={"elder_id": "ada", "message": "What did you sell?"})
    assert reply.status_code == 200, reply.text
    assert reply.json()["model_name"] == "ada-00000001"
    assert world.client.get("/health").json()["dependencies"]["inference"] == "ready"


def test_an_exam_is_put_to_an_adapter(world: World, tmp_path: Path) -> None:
    turns = [
        {"kind": "told", "question": "your name?", "evidence": ["m1"], "expect": ["never said"]},
        {"kind": "social", "question": "Good night!"},
    ]
    file = tmp_path / "ada.jsonl"
    file.write_text("".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8")
    done = agent_assets(
        world.settings.home,
        *("exam", "elder_companion/ada", str(file), "--json"),
        *("--api", str(world.client.base_url).rstrip("/")),
        AGENT_ASSETS_STORE=world.settings.store,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kinds"]["all"]["items"] == 2 and "line-1" in result["misses"]


def test_routes_that_load_adapters_are_not_reachable(world: World) -> None:
    for route in ("load_lora_adapter", "unload_lora_adapter"):
        assert (
            world.client.post(f"/v1/{route}", json={"lora_name": "x", "lora_path": "/"}).status_code
            == 404
        )


def test_what_a_schema_refers_to_is_not_fetched(world: World) -> None:
    """Schemas of callers reach the model server, and may name others by a URL."""
    with CountingServer().running() as bait:
        schema = {"type": "object", "properties": {"a": {"$ref": f"{bait.url}/a.json"}}}
        function = {"name": "look", "parameters": schema}
        for fields in (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": schema},
                }
            },
            {
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": "look"}},
            },
        ):
            body = {
                "model": "ada",
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 8,
                **fields,
            }
            status = world.client.post("/v1/chat/completions", json=body).status_code
            assert status in {200, 400}, fields
        assert bait.hits == 0
    assert _status(world, "ada") == 200


def test_after_a_crash_under_load_the_adapters_are_back(world: World) -> None:
    before = {elder: world.fingerprint(elder) for elder in ("ada", "ben")}
    server = world.services.inference.current
    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(_status, world, ("ada", "ben")[n % 2]) for n in range(8)]
        psutil.Process(server.pid).send_signal(signal.SIGKILL)
        assert {status.result() for status in pending} <= {200, 503}
    wait_for(lambda: server.restarts == 1 and server.state == "ready", 200)
    assert set(server.pool.loaded) == {"ada-00000001", "ben-00000002"}
    assert all(same(world.fingerprint(elder), before[elder]) for elder in before)


def _status(world: World, elder: str) -> int:
    body: dict[str, Any] = {
        "model": elder,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 64,
    }
    return world.client.post("/v1/chat/completions", json=body).status_code


def test_an_adapter_that_the_server_refuses_is_an_error_of_that_agent_alone(world: World) -> None:
    store = world.services.released.store
    broken = Path(store.root).parent / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_text("{}", encoding="utf-8")
    add_agent(store, "odd", 9, adapter=broken)
    body = {"model": "odd", "messages": [{"role": "user", "content": "Hello"}]}
    assert world.client.post("/v1/chat/completions", json=body).status_code == 503
    assert _status(world, "ada") == 200


def test_agents_of_two_base_models_answer_side_by_side_and_through_a_switch(world: World) -> None:
    """Elder ada moves to another base model; ben stays on the old one, and zoe was never there."""
    env, store = find_engine_env("cpu"), world.services.released.store
    folder = Path(store.root).parent
    other = make_tiny_model(folder / "other-model", env, seed=5)
    moved = make_tiny_adapter(folder / "moved", other, env, seed=7)
    add_agent(store, "zoe", 21, base=other, adapter=moved, base_fingerprint=OTHER_BASE)
    before = {elder: world.fingerprint(elder) for elder in ("ada", "ben")}
    (old_server,) = world.services.inference.servers
    restarts = old_server.restarts
    with ThreadPoolExecutor(4) as pool:
        elders = ["zoe", "ada", "ben", "zoe", "ada", "ben", "ada", "zoe"]
        answered = dict(zip(elders, pool.map(world.fingerprint, elders), strict=True))
    assert all(same(answered[elder], before[elder]) for elder in before), "from the old base model"
    assert len(world.services.inference.servers) == 2 and old_server.state == "ready"
    name = add_agent(store, "ada", 22, base=other, adapter=moved, base_fingerprint=OTHER_BASE)
    assert not same(world.fingerprint("ada"), before["ada"])
    (new_server,) = (one for one in world.services.inference.servers if one is not old_server)
    assert name in new_server.pool.loaded and name not in old_server.pool.loaded
    assert same(world.fingerprint("ben"), before["ben"])
    assert old_server.restarts == restarts and old_server.state == "ready"
