"""The rooms and who may import whom, as docs/architecture.md says."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ("conversations", "llm", "synthesis", "evaluation", "rl", "store", "planning", "release")
NOT_PLAIN = ("dagster", "weave", "agent_assets.pipeline", "agent_assets.cli", "agent_assets.demo")
ENGINE_FORBIDDEN = {"dagster", "pymongo", "fastmcp", "openai", "pandas"}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / "agent_assets" / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def reaches(path: Path, *prefixes: str) -> list[str]:
    return sorted(name for name in imports(path) if name.startswith(prefixes))


@pytest.mark.parametrize("room", PLAIN)
def test_plain_rooms_do_not_know_dagster(room: str) -> None:
    offenders = {
        str(path.relative_to(ROOT)): names
        for path in modules(room)
        if path.name not in {"history.py"} and (names := reaches(path, *NOT_PLAIN))
    }
    assert offenders == {}


def test_nothing_imports_the_command_line() -> None:
    cli = modules("cli")
    everything = [*(ROOT / "agent_assets").rglob("*.py"), *(ROOT / "resources").rglob("*.py")]
    assert [str(path) for path in everything if path not in cli and reaches(path, "agent_assets.cli")] == []


def test_engine_programs_import_only_what_their_environment_has() -> None:
    for path in modules("engines/programs"):
        names = imports(path)
        ours = {name for name in names if name.startswith(("agent_assets", "resources"))}
        allowed = ("agent_assets.engines", "agent_assets.conversations", "agent_assets.errors")
        assert all(name.startswith(allowed) for name in ours), (path, ours)
        assert not {name.split(".")[0] for name in names} & ENGINE_FORBIDDEN, path


def test_the_code_location_is_light() -> None:
    """Loading it costs at most half a second over Dagster itself, and brings in none of the heavy libraries."""
    code = (
        "import time, sys, dagster, dagster.components\n"
        "started = time.perf_counter()\n"
        "import agent_assets.definitions as module\n"
        "module.defs()\n"
        "print(time.perf_counter() - started)\n"
        "heavy = {'torch', 'art', 'weave', 'litellm', 'transformers', 'vllm', 'openai', 'fastmcp'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_that_automation_starts_imports_it_back() -> None:
    below = [path for room in (*PLAIN, "pipeline", "engines", "tool_servers") for path in modules(room)]
    resources = (ROOT / "resources").rglob("*.py")
    assert [str(path) for path in [*below, *resources] if reaches(path, "agent_assets.automation")] == []
