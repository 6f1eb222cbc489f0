"""What callers feel while others try to take the API down, over real sockets.

python benchmarks/attacks.py [--quick]        about 3 minutes; --quick under one, with shorter attacks

The API runs with its shipped settings in a process of its own; the model behind it is a stub that answers after 20 ms.
Attackers come from other addresses of loopback, in a process that gives way on the cores, in numbers that are bounded:
slowloris         400 connections that send a header byte by byte, opened again when they are ended
slow_read         60 connections that ask for the OpenAPI document again and again and never read
header_flood      headers without end: 40 connections at a time, each as fast as the API takes them, 20 a second
connection_flood  200 connections a second that are opened and left alone
many_tokens       100 requests a second, each with another invented token
Meanwhile four callers with tokens ask: half for a model, half for a completion. The last line is one JSON object:
quiet_p99_ms and p99_ms of each attack; ratios to the quiet one, `worst_ratio` (under 2 is wanted); `errors`, replies
to those callers that were no 200.
"""  # noqa: E501

import asyncio
import itertools
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import uvicorn
from attackers import ATTACKS, HOST, attack
from plan import machine
from quick import is_quick
from serving_fleet import release_elders

from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.serving.app import create_app
from agent_assets.serving.run import server_settings
from agent_assets.serving.tokens import Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactStore

ELDERS, CALLERS = 4, 4
MODEL_SECONDS = 0.02
_ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}}]}


class StubModel(BaseHTTPRequestHandler):
    """Answers every completion after a moment; takes every adapter."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply({"data": []})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(MODEL_SECONDS if self.path.endswith("completions") else 0)
        self._reply(_ANSWER)

    def _reply(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class StubServer(ThreadingHTTPServer):
    """A client that hangs up, as a caller at its end does, is no error of it."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Everything but a lost client is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


def serve_stub(port: int) -> None:
    """The model server."""
    StubServer((HOST, port), StubModel).serve_forever()


def serve_api(settings: Settings, model_port: int, port: int) -> None:
    """The API with its shipped settings, but for the rate limit of the callers here."""
    config = ServingConfig.model_validate(
        {"inference": {"url": f"http://{HOST}:{model_port}/v1"}, "requests_per_minute": 100_000}
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a line for each attack
    app = create_app(settings, config)
    uvicorn.run(app, host=HOST, port=port, **server_settings(config))


async def ask_for(port: int, tokens: list[str], seconds: float) -> tuple[list[float], int]:
    """Milliseconds of the callers' requests, and how many were not answered with 200."""
    taken: list[float] = []
    errors = 0
    end = time.monotonic() + seconds

    async def caller(number: int) -> None:
        nonlocal errors
        elder, headers = f"elder-{number:02d}", {"Authorization": f"Bearer {tokens[number]}"}
        body = {"model": elder, "messages": [{"role": "user", "content": "Hello"}]}
        base = f"http://{HOST}:{port}"
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
            for turn in itertools.count():
                if time.monotonic() > end:
                    return
                started = time.perf_counter()
                try:
                    reply = await (
                        client.get(f"/models/{elder}")
                        if turn % 2
                        else client.post("/v1/chat/completions", json=body)
                    )
                    errors += reply.status_code != 200
                except httpx.HTTPError:
                    errors += 1
                taken.append(1000 * (time.perf_counter() - started))
                await asyncio.sleep(0.02)

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return sorted(taken), errors


def figures(port: int, tokens: list[str], seconds: float) -> dict[str, object]:
    """What the callers feel: quiet, then during each attack."""
    asyncio.run(ask_for(port, tokens, 3))  # adapters are loaded
    quiet, errors = asyncio.run(ask_for(port, tokens, seconds))
    result: dict[str, object] = {"quiet_p50_ms": _at(quiet, 0.5), "quiet_p99_ms": _at(quiet, 0.99)}
    ratios: dict[str, float] = {}
    for name in ATTACKS:
        process = multiprocessing.Process(target=attack, args=(name, port, seconds + 2))
        process.start()
        time.sleep(1)
        taken, failed = asyncio.run(ask_for(port, tokens, seconds))
        process.join()
        errors += failed
        result[f"{name}_p50_ms"] = _at(taken, 0.5)
        result[f"{name}_p99_ms"] = _at(taken, 0.99)
        ratios[name] = round(_at(taken, 0.99) / _at(quiet, 0.99), 2)
        print(f"{name}: {len(taken)} requests, p99 {_at(taken, 0.99)} ms", flush=True)
        _, failed = asyncio.run(ask_for(port, tokens, 2))
        errors += failed
    return result | {"ratios": ratios, "worst_ratio": max(ratios.values()), "errors": errors}


def _at(sorted_values: list[float], share: float) -> float:
    return round(sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))], 1)


def _installation(folder: Path, uri: str) -> tuple[Settings, list[str]]:
    """A store with released elders, and a token for each of them."""
    models = folder / "models"
    for name in ("base", *(f"adapter-{number:02d}" for number in range(ELDERS))):
        (models / name).mkdir(parents=True)
        (models / name / "weights.safetensors").write_bytes(name.encode() * 100)
    variables = {
        "AGENT_ASSETS_HOME": str(folder),
        "MONGODB_URI": uri,
        "AGENT_ASSETS_DEVICE": "cpu",
    }
    settings = load_settings(variables)
    release_elders(ArtifactStore(settings.store), models, ELDERS)
    tokens = Tokens(uri, settings)
    try:
        made = [tokens.create("elder", elder=f"elder-{number:02d}") for number in range(ELDERS)]
    finally:
        tokens.close()
    return settings, made


def main() -> None:
    """See the module."""
    quick = is_quick(__doc__, "attacks of 6 seconds instead of 25")
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    multiprocessing.set_start_method("spawn")
    processes: list[multiprocessing.Process] = []
    try:
        with start_mongod(folder / "mongodb") as mongod:
            settings, tokens = _installation(folder, mongod.uri)
            model_port, port = free_port(), free_port()
            for target, arguments in (
                (serve_stub, (model_port,)),
                (serve_api, (settings, model_port, port)),
            ):
                process = multiprocessing.Process(target=target, args=arguments, daemon=True)
                process.start()
                processes.append(process)
            _wait_for(port)
            result = figures(port, tokens, 6 if quick else 25)
            for process in processes:
                process.terminate()
                process.join()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    command = f"python benchmarks/attacks.py{' --quick' if quick else ''}"
    seconds = round(time.monotonic() - started)
    print(json.dumps({"command": command, "machine": machine(), "seconds": seconds} | result))


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"http://{HOST}:{port}/", timeout=2).status_code == 200:
                return
        if time.monotonic() > deadline:
            sys.exit("error: the API did not start.")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
