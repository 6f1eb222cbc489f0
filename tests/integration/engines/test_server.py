"""vLLM's server on a tiny random model: it answers, with tools and adapters, and leaves nothing
behind.
"""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from openai import OpenAI, omit

from agent_assets.conversations.formats import to_openai, to_swift
from agent_assets.conversations.rendering.rendered import RowRenderer
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.choice import SERVER
from agent_assets.engines.servers.serve import Endpoint, serve_model
from agent_assets.errors import EngineFailed, EngineOutOfMemory
from support.engine_programs import conversations
from support.launching import CORE, alive
from support.tiny_model import make_tiny_adapter
from support.waiting import wait_for

pytestmark = pytest.mark.engine
LIMITS = EngineLimits(seconds=300, memory_bytes=8 * 2**30)


def processes_of(tiny_model: Path) -> list[psutil.Process]:
    return [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(tiny_model) in " ".join(p.info["cmdline"] or [])
    ]


def test_it_answers_and_ends_with_the_block(
    engine_env: EngineEnv, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", tiny_model, engine_env)
    with serve_model(
        SERVER,
        env=engine_env,
        model_dir=tiny_model,
        log_dir=tmp_path / "logs",
        limits=LIMITS,
        max_model_len=512,
        adapters={"elder-1a2b3c4d": adapter},
    ) as endpoint:
        client = OpenAI(base_url=endpoint.base_url, api_key="local", timeout=60)
        descendants = psutil.Process(endpoint.engine.process.pid).children(recursive=True)
        tool = {
            "type": "function",
            "function": {
                "name": "weather",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
            },
        }
        question = [{"role": "user", "content": "Weather?"}]
        plain, with_tool = (
            client.chat.completions.create(
                model=endpoint.model,
                messages=question,  # type: ignore[arg-type]
                max_tokens=1,
                tools=tools,  # type: ignore[arg-type]
            ).usage.prompt_tokens  # type: ignore[union-attr]
            for tools in (omit, [tool])
        )
        assert with_tool > plain + 20
        assert_it_renders_what_is_trained(endpoint, tiny_model)
        texts = {
            model: client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=8,
                temperature=0.0,
            )
            .choices[0]
            .message.content
            for model in (endpoint.model, "elder-1a2b3c4d")
        }
        assert texts[endpoint.model] != texts["elder-1a2b3c4d"]
        assert endpoint.startup_seconds is not None and 0 < endpoint.startup_seconds < 300
        assert endpoint.peak_memory_bytes > 2**28
    assert len(descendants) >= 2
    assert not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in descendants
    )
    assert endpoint.log_path.read_text(encoding="utf-8")


def assert_it_renders_what_is_trained(endpoint: Endpoint, model_dir: Path) -> None:
    """The server's own token ids of whole conversations: those of training (test_template_parity
    has the rest).
    """
    renderer, compared = RowRenderer(model_dir), 0
    for case in conversations():
        body = {
            "model": endpoint.model,
            "messages": to_openai(case)["messages"],
            "tools": strict_openai_tools(case.tools) or None,
            "add_generation_prompt": False,
        }
        (text,) = renderer.sequences(to_swift(case))
        trained = text.ids
        if len(trained) < 512:
            reply = httpx.post(
                f"{endpoint.base_url.removesuffix('/v1')}/tokenize", json=body, timeout=60
            )
            assert reply.json()["tokens"] == trained, reply.text
            compared += 1
    assert compared >= 2


def test_it_ends_when_its_worker_is_killed(tiny_model: Path, tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("serving.py")),
            str(tiny_model),
            str(tmp_path),
        ]
    )
    try:
        descendants = wait_for(lambda: with_engine_core(psutil.Process(worker.pid)), 120)
    finally:
        worker.kill()
        worker.wait()
    assert len(descendants) >= 3
    wait_for(lambda: not any(alive(process.pid) for process in descendants), 8)


def with_engine_core(worker: psutil.Process) -> list[psutil.Process]:
    """The descendants of a worker once vLLM's own child is among them."""
    children = worker.children(recursive=True)
    names = [" ".join(process.cmdline()) for process in children if process.is_running()]
    return children if any("EngineCore" in name for name in names) else []


def test_long_prompts_with_seeds_are_answered_side_by_side(
    engine_env: EngineEnv, tiny_model: Path, tmp_path: Path
) -> None:
    """Together they are longer than a batch. vLLM would split one of them, and on a CPU die of its
    seed.
    """

    async def ask(url: str, model: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            prompts = [
                [10 + (7 * number + place) % 4000 for place in range(1500)] for number in range(8)
            ]
            known = {"model": model, "max_tokens": 2, "temperature": 1.0}
            bodies = [
                {**known, "prompt": prompt, "seed": number} for number, prompt in enumerate(prompts)
            ]
            answers = await asyncio.gather(
                *(client.post("/completions", json=body) for body in bodies)
            )
        return [answer.status_code for answer in answers]

    with serve_model(
        SERVER,
        env=engine_env,
        model_dir=tiny_model,
        log_dir=tmp_path / "logs",
        limits=LIMITS,
        max_model_len=2048,
    ) as endpoint:
        assert asyncio.run(ask(endpoint.base_url, endpoint.model)) == [200] * 8


def test_a_taken_port_is_an_error_at_once(tiny_model: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(EngineFailed, match=f"Port {port}"),
            serve_model(
                SERVER,
                env=CORE,
                model_dir=tiny_model,
                log_dir=tmp_path,
                limits=LIMITS,
                max_model_len=512,
                port=port,
            ),
        ):
            pass


def test_a_server_that_cannot_start_names_its_log(tiny_model: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(EngineFailed, match="vllm ended with exit code 1") as caught,
        serve_model(
            SERVER,
            env=CORE,
            model_dir=tiny_model,
            log_dir=tmp_path / "logs",
            limits=LIMITS,
            max_model_len=512,
            failed_logs=tmp_path / "kept",
        ),
    ):
        pass
    (log,) = (tmp_path / "kept").iterdir()
    assert str(log) in str(caught.value.next_step)
    assert "vllm" in log.read_text(encoding="utf-8")


def test_memory_limit_ends_the_server(
    engine_env: EngineEnv, tiny_model: Path, tmp_path: Path
) -> None:
    tight = EngineLimits(seconds=300, memory_bytes=200 * 2**20)
    with (
        pytest.raises(EngineOutOfMemory, match="limit"),
        serve_model(
            SERVER,
            env=engine_env,
            model_dir=tiny_model,
            log_dir=tmp_path,
            limits=tight,
            max_model_len=512,
        ),
    ):
        pass
    wait_for(lambda: not processes_of(tiny_model), 5)
