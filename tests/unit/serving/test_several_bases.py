"""Agents of several base models: as many servers as there is memory for, and nobody is turned away
in the middle of a switch. The processes are ones that do nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from agent_assets.engines.base_settings import BaseServing, write_base_serving
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.engines.servers import memory
from agent_assets.engines.servers.memory import GIB, fits_in_memory, free_memory
from agent_assets.serving import inference as inference_module
from agent_assets.serving import model_server
from agent_assets.serving.adapters import Busy
from agent_assets.serving.inference import Inference
from agent_assets.serving.model_server import ModelServer, Served
from agent_assets.serving_settings import InferenceConfig
from support.pretend_servers import PretendEngines, Processes, pretend_processes
from support.waiting import wait_for

ONE, TWO = 2.5, 4.5  # GiB for one server of these, which take two each, and for two


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    monkeypatch.setattr(model_server, "ensure_loaded", lambda *_: None)
    monkeypatch.setattr(model_server, "ensure_unloaded", lambda *_: None)
    processes = pretend_processes(monkeypatch)
    processes.ready.set()
    return processes


class World:
    """Base models `a`, `b` and `c`, and the servers of an installation."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        engines = cast(LocalEngines, PretendEngines(str(folder)))
        self.inference = Inference(engines, InferenceConfig(**config), folder)

    def base(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def answer(self, base: str) -> AbstractAsyncContextManager[Served]:
        """Somebody is answered by an agent of a base model during the block."""
        return self.inference.use(self.base(base), f"version-{base}", f"agent-{base}", self.folder)

    async def ask(self, base: str) -> None:
        async with self.answer(base):
            pass


def run(world: World, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        try:
            await work()
        finally:
            await world.inference.close()

    asyncio.run(whole())


async def _until(what: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, every=0.01)


def test_agents_of_two_base_models_answer_side_by_side(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=TWO)

    async def work() -> None:
        async with world.answer("a"), world.answer("b"):
            assert processes.models == ["a", "b"]
        for base in "abab":
            await world.ask(base)
        assert len(processes.started) == 2, "neither was started anew"

    run(world, work)


def test_the_server_used_longest_ago_goes_when_another_needs_its_place(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=TWO)

    async def work() -> None:
        for base in ("a", "b", "a", "c"):
            await world.ask(base)
        assert processes.models == ["a", "c"]

    run(world, work)


def test_a_server_that_answers_stays_and_who_needs_its_place_waits(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=ONE)

    async def work() -> None:
        async with world.answer("a"):
            waiting = [asyncio.create_task(world.ask("b")) for _ in range(3)]
            await asyncio.sleep(0.2)
            assert processes.models == ["a"] and not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
        assert processes.models == ["b"] and len(processes.started) == 2

    run(world, work)


def test_who_waited_too_long_is_told_to_come_back(tmp_path: Path, processes: Processes) -> None:
    world = World(tmp_path, memory_gb=ONE, wait_seconds=0.2)

    async def work() -> None:
        async with world.answer("a"):
            with pytest.raises(Busy, match="no memory for another base model"):
                await world.ask("b")
        await world.ask("b")

    run(world, work)


def test_a_base_model_that_is_never_idle_does_not_keep_the_place_for_ever(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_module, "_PATIENCE_SECONDS", 0.1)
    world = World(tmp_path, memory_gb=ONE)
    over = asyncio.Event()

    async def busy() -> None:
        """From two people somebody of base model `a` always has a question."""
        while not over.is_set():
            async with world.answer("a"):
                await asyncio.sleep(0.05)

    async def work() -> None:
        people = [asyncio.create_task(busy())]
        await asyncio.sleep(0.025)
        people.append(asyncio.create_task(busy()))
        await asyncio.wait_for(world.ask("b"), 10)
        over.set()
        await asyncio.gather(*people)

    run(world, work)


def test_a_switch_that_nobody_waits_for_any_more_is_ended(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=ONE)

    async def work() -> None:
        async with world.answer("a"):
            switch = asyncio.create_task(world.ask("b"))
            await asyncio.sleep(0.1)
            switch.cancel()
            await asyncio.gather(switch, return_exceptions=True)
        await _until(lambda: not processes.models)
        await world.ask("a")
        assert processes.models == ["a"]

    run(world, work)


def test_a_server_that_starts_is_not_taken_from_those_who_wait_for_it(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=ONE)
    processes.ready.clear()

    async def work() -> None:
        first = asyncio.create_task(world.ask("a"))
        await _until(lambda: processes.started)
        second = asyncio.create_task(world.ask("b"))
        await asyncio.sleep(0.1)
        assert processes.models == ["a"] and world.inference.state == "starting"
        processes.ready.set()
        await asyncio.gather(first, second)
        assert processes.models == ["b"]

    run(world, work)


def test_each_base_model_is_served_with_its_own_context_length(
    tmp_path: Path, processes: Processes
) -> None:
    world = World(tmp_path, memory_gb=TWO)
    write_base_serving(world.base("a"), BaseServing(context_length=4096))

    async def work() -> None:
        for base in "ab":
            await world.ask(base)
        assert [process.asked["max_model_len"] for process in processes.started] == [4096, 2048]

    run(world, work)


def test_the_same_weights_with_another_context_length_are_another_server(
    tmp_path: Path, processes: Processes
) -> None:
    """A release that was judged with 2,048 tokens goes on with these."""
    world = World(tmp_path, memory_gb=TWO)
    write_base_serving(world.base("b"), BaseServing(context_length=4096))

    async def work() -> None:
        for base in "ab":
            async with world.inference.use(world.base(base), "same", "agent", tmp_path):
                pass
        assert processes.models == ["a", "b"]

    run(world, work)


def test_memory_that_a_starting_server_will_take_is_not_free() -> None:
    room = {"running": [3 * GIB], "limit": None}
    assert fits_in_memory(2 * GIB, to_come=0, free=3 * GIB, **room)  # type: ignore[arg-type]
    assert not fits_in_memory(2 * GIB, to_come=3 * GIB, free=3 * GIB, **room)  # type: ignore[arg-type]
    assert fits_in_memory(99 * GIB, running=[], to_come=0, limit=1, free=0), "the first may try"


def test_what_a_server_really_took_counts(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelServer, "peak_memory_bytes", 3 * GIB)
    world = World(tmp_path, memory_gb=TWO)

    async def work() -> None:
        for base in "ab":
            await world.ask(base)
        assert processes.models == ["b"], "a took three GiB, so two more did not fit"

    run(world, work)


def test_a_control_group_limits_what_is_free_and_cached_files_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    of_machine = free_memory()
    for name, text in (
        ("memory.max", "1000000"),
        ("memory.current", "900000"),
        ("memory.stat", "anon 100000\ninactive_file 700000"),
    ):
        (tmp_path / name).write_text(text, encoding="ascii")
    assert free_memory() == 800_000 < of_machine
    (tmp_path / "memory.max").write_text("max", encoding="ascii")
    assert free_memory() > 800_000
