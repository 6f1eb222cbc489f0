"""An installation for `faults.py`: started as a user starts it, its processes found and killed."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
from backfill_installation import copy_code, environment_of, seed, until
from faults_processes import has_ended, kind_of, processes_of

from agent_assets.dagster_internals import NOT_FINISHED_STATUSES
from agent_assets.engines.environment import find_engine_env
from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import find_mongod, start_mongod
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.run_progress import RunProgress
from agent_assets.settings import load_settings
from support.moved_clock import SharedClock, faketime_environment
from support.tiny_model import make_tool_model

READY = "Ctrl-C stops everything"
NO_STAGE = "no stage yet"
_START_SECONDS = 300.0
_GONE_SECONDS = 45.0
_MAIN = "from agent_assets.cli.main import main; main()"


@dataclass(frozen=True)
class Size:
    """How much an agent learns and is asked.

    Args:
        memories: that are told, of each elder.
        answer_tokens: most of an answer that is judged.
        servers_at_once: model servers that judge side by side; each takes half a minute to start.
    """

    memories: int
    questions_per_tool: int
    rl_steps: int
    answer_tokens: int
    servers_at_once: int


QUICK = Size(6, 2, 1, 8, 1)
WHOLE = Size(6, 2, 3, 32, 3)


@dataclass(frozen=True)
class Template:
    """The code and the environment of installations that make the same agents."""

    folder: Path
    tree: Path
    elders: list[str]
    size: Size

    @classmethod
    def make(cls, folder: Path, elders: list[str], size: Size) -> "Template":
        """Copy the code and give it a pipeline that trains a tiny model, by examples and by
        rewards, with weights whose bytes are the same each time.
        """
        env = find_engine_env("cpu")
        model = make_tool_model(folder / "model", _conversations(), env, steps=40)
        tree = copy_code(folder, model, _attributes(size))
        _limit_servers(tree / "agent_assets/engines/local_engines.py", size.servers_at_once)
        return cls(folder, tree, elders, size)


def _attributes(size: Size) -> dict[str, dict[str, object]]:
    """Settings of the stages."""
    return {
        "questions": {
            "wordings": "wordings.yaml",
            "languages": ["en"],
            "per_tool": size.questions_per_tool,
            "heldout_per_tool": size.questions_per_tool // 2,
        },
        "train_jsonl": {
            "memory_tool_questions": 2 * size.questions_per_tool,
            "open_per_memory": 1,
            "closed_per_memory": 0,
            "heldout_recall": 2,
            "heldout_memory_tool_questions": 1,
        },
        # What the model knows by heart it is not to unlearn.
        "sft_adapter": {
            "batch_size": 1,
            "epochs": 1.0,
            "learning_rate": 1e-4,
            "precision": "fp32",
        },
        "rl": {
            "enabled": True,
            "precision": "fp32",
            "concurrency": 1,
            "steps": size.rl_steps,
            "scenarios_per_step": 1,
            "rollouts_per_scenario": 4,
            "learning_rate": 1e-3,
            "max_turns": 2,
            "max_tokens": 32,
        },
        "eval_report": {
            "max_turns": 2,
            "max_tokens": size.answer_tokens,
            "base_max_tokens": size.answer_tokens,
            "concurrency": 1,
            "cross_questions": 2,
        },
    }


def _limit_servers(engines: Path, at_once: int) -> None:
    usual = "_CPU_SERVERS = 3"
    code = engines.read_text(encoding="utf-8")
    assert usual in code
    engines.write_text(code.replace(usual, f"_CPU_SERVERS = {at_once}"), encoding="utf-8")


def _conversations() -> list[dict[str, Any]]:
    """What the model knows by heart: whatever is asked, it searches or says that it was not told,
    half of the time each. Only one of them earns a reward, so there is something to learn.
    """
    tool = {"name": "search_memories", "parameters": {"type": "object", "properties": {}}}
    question = {"role": "user", "content": "What happened?"}
    call = {"name": "search_memories", "arguments": json.dumps({"query": "school"})}
    searches: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [_call(call)]},
        {"role": "tool", "content": "nothing", "tool_call_id": "call_1"},
    ]
    answer = {"role": "assistant", "content": "I was never told about that."}
    tools = [{"type": "function", "function": tool}]
    return [
        {"messages": [question, *searches, answer], "tools": tools},
        {"messages": [question, answer], "tools": tools},
    ]


def _call(function: dict[str, str]) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": function}


class FaultyInstallation:
    """One home with its `up`, which may be killed at any moment and started again."""

    def __init__(self, template: Template, name: str, *, faketime: Path | None = None) -> None:
        self.tree, self.folder = template.tree, template.folder / name
        self.home = self.folder / "home"
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True)
        self.environment = environment_of(self.home, self.tree) | {"TMPDIR": str(temporary)}
        self.clock = SharedClock(self.folder / "clock")
        if faketime is not None:
            # Under libfaketime mongod does not end; of its user's clock it sees nothing.
            unfaked = self.folder / "mongod"
            unfaked.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {find_mongod()} "$@"\n', "utf-8")
            unfaked.chmod(0o700)
            self.environment |= {"MONGOD_BIN": str(unfaked)}
            self.environment |= faketime_environment(faketime, self.folder, path=str(self.tree))
            self.environment |= self.clock.environment
        self.settings = load_settings(self.environment)
        with start_mongod(self.settings.mongo_data) as mongod:
            database = self.settings.mongodb_database
            seed(mongod.uri, database, template.elders, memories=template.size.memories)
        prepare_dagster_home(self.settings)
        self._ports = [free_port(), free_port()]
        self.up: subprocess.Popen[bytes] | None = None
        self.client: subprocess.Popen[bytes] | None = None
        self._client_log: Path | None = None

    def start(self) -> float:
        """Start `up` and wait until it is ready; the seconds that took."""
        started = time.monotonic()
        ports = ["--port", str(self._ports[0]), "--api-port", str(self._ports[1])]
        self.up, log = self.command("up", *ports)
        up = self.up
        until(lambda: READY in _text(log) or up.poll() is not None, _START_SECONDS, every=0.2)
        if up.poll() is not None:
            raise RuntimeError(_text(log))
        until(self._answers, _START_SECONDS, every=0.2)
        return time.monotonic() - started

    def refresh(self) -> None:
        """`agent-assets refresh`, unless it still goes on."""
        if self.client is None or self.client.poll() is not None:
            self.client, self._client_log = self.command("refresh")

    def has_nothing_to_do(self) -> bool:
        """Whether the last `refresh` found that everything is fresh."""
        return any(line.startswith("0 runs, ") for line in self.client_text().splitlines())

    def client_text(self) -> str:
        """What the last `refresh` has printed."""
        return "" if self._client_log is None else _text(self._client_log)

    def logs_with_traces(self) -> list[str]:
        """Outputs of commands that show the trace of an error to who started them."""
        return [
            path.name
            for path in sorted(self.folder.glob("*.log"))
            if any(words in _text(path) for words in ("Traceback (most", "Stack Trace:"))
        ]

    def command(self, *arguments: str) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start `agent-assets` with these arguments; its output goes to a file of its own."""
        number = len(list(self.folder.glob("*.log")))
        log = self.folder / f"{number:03d}-{arguments[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, *arguments],
                cwd=self.tree,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return process, log

    def stop(self) -> None:
        """End the client and `up`, as a person does."""
        for process in (self.client, self.up):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(120)

    def open_runs(self) -> list[dg.DagsterRun]:
        """Runs that wait or go on."""
        with open_instance(self.settings) as instance:
            return _open_runs(instance)

    def stages(self) -> dict[str, str]:
        """What each run that waits or goes on is making now, by run id."""
        with open_instance(self.settings) as instance:
            progress = [RunProgress(run.run_id) for run in _open_runs(instance)]
            for run in progress:
                run.refresh(instance)
        return {run.run_id: run.stage or NO_STAGE for run in progress}

    def processes(self) -> list[psutil.Process]:
        """Every process that works for this installation but those of `refresh`."""
        return processes_of(
            self.folder,
            up=self.up.pid if self.up else None,
            client=self.client.pid if self.client else None,
        )

    def orphans(self, of: list[psutil.Process]) -> list[str]:
        """Which of these processes still run some time after their `up` has ended; mongod may, for
        a client or the next `up` that uses it.
        """
        users = [process for process in (self.client, self.up) if process is not None]
        in_use = any(process.poll() is None for process in users)
        spared = ("mongod", "keeper") if in_use else ()

        def unwanted() -> list[psutil.Process]:
            return [
                process
                for process in of
                if not has_ended(process) and kind_of(process) not in spared
            ]

        try:
            until(lambda: not unwanted(), _GONE_SECONDS, every=0.5)
        except TimeoutError:
            return [f"{kind_of(process)} {process.pid}" for process in unwanted()]
        return []

    def held_leases(self) -> list[str]:
        """Locks of devices and artifacts that somebody holds."""
        import fcntl

        held = []
        for path in [*self.home.glob("leases/*.lock"), *self.home.glob("store/.locks/*")]:
            with path.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(path.name)
        return held

    def versions(self) -> dict[str, dict[str, str]]:
        """By artifact, the hash of each of its files that its data version counts."""
        contents = {}
        for path in sorted(self.home.glob("store/*/*/*/*/manifest.json")):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            key = f"{manifest['asset']}/{manifest['partition'] or '_'}"
            files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
            contents[key] = {"data version": manifest["data_version"], **files}
        return contents

    def _answers(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._ports[1]}/health"
            return httpx.get(url, timeout=5).status_code in (200, 503)
        except httpx.TransportError:
            return False


def _open_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    statuses = list(NOT_FINISHED_STATUSES)
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=statuses)))


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
