"""The rooms, and who may import whom.

A room is a package of ours, or a module that lies beside the packages. `MAY_IMPORT` is the whole
truth: an import that it does not allow fails, and so does a room that it does not know. To add a
room, add its line here and in README.md. Imports inside functions and under TYPE_CHECKING count
like all others.
"""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAY_IMPORT = {
    # The code location: alone in knowing the Dagster resources.
    "definitions": "no_telemetry parent_death priority privacy projects resources sensors settings",
    "sensors": "alerts automation release settings",
    "resources": "engines mongo store",
    # What everything stands on.
    "errors": "",
    "file_locks": "",
    "free_ports": "",
    "no_telemetry": "",
    "html_pages": "",
    "dagster_internals": "",
    "parent_death": "",
    "priority": "",
    "process_tree": "",
    "projects": "errors",
    "settings": "errors projects",
    "privacy": "errors settings",
    "strict_model": "errors text.languages",
    "base_models": "errors strict_model",
    "up_locks": "errors privacy settings",
    "conversations": "conversations.schemas errors",
    "conversations.schemas": "conversations",
    "conversations.rendering": "conversations errors",
    "store": "errors file_locks pickled_weights",
    "text": "conversations text.languages",
    "text.languages": "text",
    "reviews": "conversations errors mongo",
    "planning": "conversations dagster_internals errors reviews store",
    # The run-time of an agent, and what it asks.
    "agent": "conversations errors no_telemetry text text.languages",
    "agent.mcp": "agent.mcp.entries conversations errors priority settings strict_model "
    "tool_servers",
    "agent.mcp.entries": "errors strict_model tool_servers",
    "serving_settings": "agent settings strict_model",
    "llm": "agent conversations errors strict_model",
    "retrieval": "conversations errors settings strict_model text text.languages",
    "tool_servers": "conversations retrieval settings text.languages",
    "mongo": "conversations errors store strict_model text text.languages",
    "mongo.editing": "errors mongo",
    "mongo.embedded": "errors file_locks mongo privacy settings",
    # Programs of other environments, and what starts them.
    "engines": "engines.chat_templates engines.devices engines.launch engines.servers errors "
    "no_telemetry pickled_weights priority runs settings store",
    "engines.devices": "errors file_locks settings",
    "engines.import_path": "",
    "engines.launch": "conversations dagster_internals engines engines.devices errors priority "
    "process_tree",
    "engines.programs": "conversations conversations.rendering engines engines.devices "
    "engines.chat_templates errors pickled_weights",
    "engines.servers": "conversations.rendering engines engines.chat_templates engines.devices "
    "engines.launch errors",
    "engines.chat_templates": "conversations conversations.rendering errors",
    # Training data.
    "synthesis": "agent conversations errors llm reviews strict_model synthesis.arguments "
    "synthesis.questions synthesis.rows synthesis.tasks synthesis.teachers text text.languages",
    "synthesis.arguments": "conversations conversations.schemas text text.languages",
    "synthesis.questions": "agent conversations errors llm synthesis synthesis.arguments "
    "synthesis.templates text text.languages",
    "synthesis.rows": "agent conversations errors reviews synthesis synthesis.arguments "
    "synthesis.questions synthesis.tasks text text.languages",
    "synthesis.tasks": "agent conversations errors synthesis synthesis.arguments "
    "synthesis.questions synthesis.templates text text.languages",
    "synthesis.teachers": "agent conversations errors llm synthesis synthesis.rows synthesis.tasks "
    "text text.languages",
    "synthesis.templates": "conversations errors synthesis synthesis.arguments text text.languages",
    # Judging, learning, releasing.
    "evaluation": "agent conversations errors serving_settings text text.languages",
    "evaluation.pages": "conversations conversations.rendering evaluation html_pages",
    "rl.backends": "agent conversations conversations.rendering engines engines.chat_templates "
    "engines.launch engines.servers errors no_telemetry rl rl.scenarios settings store",
    "rl.scenarios": "agent conversations errors rl synthesis synthesis.arguments "
    "synthesis.questions synthesis.rows synthesis.tasks synthesis.teachers text",
    "rl": "agent conversations engines engines.servers errors evaluation llm no_telemetry "
    "rl.scenarios settings strict_model text",
    "release": "errors evaluation settings store strict_model text",
    # The graph, and what runs it.
    "pickled_weights": "",
    "alerts": "errors release settings store strict_model",
    "backup": "errors mongo.embedded privacy settings store",
    "pipeline": "agent agent.mcp base_models conversations dagster_internals engines errors "
    "evaluation evaluation.pages export llm mongo pipeline.exporting pipeline.stages planning "
    "priority projects release retrieval rl runs settings store strict_model synthesis",
    "pipeline.exporting": "engines export pipeline pipeline.evaluating release store",
    "export": "engines errors export.ollama release settings store strict_model",
    "export.ollama": "conversations conversations.rendering errors export serving_settings",
    "pipeline.evaluating": "agent base_models conversations engines engines.chat_templates "
    "engines.servers errors evaluation pipeline planning release serving_settings store",
    "pipeline.stages": "base_models conversations conversations.rendering engines "
    "engines.chat_templates errors evaluation evaluation.pages mongo pipeline pipeline.evaluating "
    "release retrieval reviews rl rl.backends rl.scenarios store synthesis synthesis.questions "
    "synthesis.rows synthesis.teachers text.languages",
    "runs": "dagster_internals mongo mongo.embedded privacy process_tree settings",
    "automation": "alerts conversations dagster_internals engines errors export mongo pipeline "
    "pipeline.stages planning projects release reviews runs settings store strict_model up_locks",
    "data": "conversations errors evaluation planning runs settings store",
    "workbench": "agent automation conversations data errors planning projects release runs "
    "serving settings store",
    "erasure": "automation conversations erasure.places errors file_locks mongo planning settings "
    "store",
    "erasure.places": "agent automation conversations erasure errors export mongo mongo.embedded "
    "planning release reviews store",
    "services_apart": "erasure errors priority projects runs services settings up_locks",
    "services": "automation engines.devices erasure errors mongo.embedded free_ports priority "
    "privacy projects runs serving serving_settings settings up_locks",
    "serving": "agent agent.mcp alerts automation backup conversations dagster_internals engines "
    "engines.devices engines.launch engines.servers erasure errors free_ports html_pages mongo "
    "pipeline planning privacy release runs serving.a2a serving.routes serving.webapp "
    "serving_settings settings store text",
    "serving.webapp": "automation conversations errors html_pages mongo mongo.editing planning "
    "release reviews serving serving.routes settings store text",
    "serving.routes": "conversations erasure errors release runs serving serving.a2a store",
    "serving.a2a": "conversations errors serving",
    "serving.ui": "dagster_internals errors runs serving serving_settings settings",
    "cli": "agent agent.mcp alerts automation backup base_models cli.doctor cli.mcp conversations "
    "data demo engines engines.chat_templates engines.devices engines.launch engines.servers "
    "erasure errors evaluation export mongo no_telemetry pipeline pipeline.evaluating planning "
    "privacy projects release runs services services_apart serving serving.ui serving_settings "
    "settings store text",
    "cli.mcp": "agent.mcp automation cli conversations errors settings",
    "cli.doctor": "automation cli cli.mcp conversations engines engines.chat_templates "
    "engines.devices engines.launch engines.servers errors mongo mongo.embedded planning privacy "
    "release runs serving serving_settings settings store",
    "demo": "automation conversations errors evaluation mongo planning projects settings store",
}

# Rooms, and modules of other rooms, that know Dagster. Everything else is plain Python.
KNOW_DAGSTER = {
    "automation",
    "cli",
    "data",
    "dagster_internals",
    "definitions",
    "demo",
    "erasure",
    "pipeline",
    "pipeline.stages",
    "resources",
    "runs",
    "sensors",
    "workbench",
}
KNOW_DAGSTER |= {
    "engines.launch.dagster_messages",
    "engines.launch.step_program",
    "engines.local_engines",
    "engines.progress_reporter",
}
KNOW_DAGSTER |= {
    "alerts.dagster_events",
    "planning.history",
    "projects.project",
    "serving.jobs",
    "serving.job_assets",
    "serving.job_progress",
    "serving.runs",
    "serving.ui",
    "serving.webapp.rows",
}
KNOW_WEAVE = {"agent.weave_erasure", "agent.weave_tracing"}
# What runs in an engine environment, with the libraries that are there.
IN_ENGINES = ("engines.programs", "engines.launch.supervisor", "engines.servers.vllm_cpu")
CONTRACTS = {
    "engines.checkpoints",
    "engines.codec",
    "engines.contracts",
    "engines.devices.answering",
    "engines.export_contracts",
    "engines.rl_contracts",
}  # what both sides import
PROGRAMS_MAY_IMPORT = {
    "conversations",
    "conversations.rendering",
    "engines.programs",
    "engines.chat_templates",
    "errors",
    "file_locks",
    "pickled_weights",
    "priority",
    "text",
}
NOT_IN_ENGINES = {"dagster", "pymongo", "fastmcp", "openai", "pandas", "pydantic", "weave"}


def modules() -> dict[str, Path]:
    """Our modules by name, without `agent_assets.` in front; the name of a package stands for its
    __init__.py.
    """
    named = {}
    for path in [*(ROOT / "agent_assets").rglob("*.py"), *(ROOT / "resources").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(part for part in parts if part not in {"agent_assets", "__init__"})] = path
    named.pop("", None)
    return named


MODULES = modules()


def imported(path: Path, *, when_loaded: bool = False) -> Iterator[str]:
    """What a file imports (when it is loaded, or ever), as dotted names: `from a import b` is
    `a.b`.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> Iterator[str]:
    """Our modules that a file imports."""
    for name in imported(path):
        short = name.removeprefix("agent_assets.")
        if short == name and not name.startswith("resources."):
            continue
        yield short if short in MODULES else short.rpartition(".")[0]


IMPORTS = {module: set(ours(path)) for module, path in MODULES.items()}


def room_of(module: str) -> str:
    """The package a module lies in; a module beside the packages is a room of its own."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0] or module


def libraries(module: str, *, when_loaded: bool = False) -> set[str]:
    """Top-level packages of others that a module imports."""
    names = imported(MODULES[module], when_loaded=when_loaded)
    return {name.split(".")[0] for name in names} - {"agent_assets", "resources"}


def users_of(library: str) -> set[str]:
    return {module for module in MODULES if library in libraries(module)}


def reached(starts: Iterable[str]) -> set[str]:
    """Our modules that are loaded with these."""
    loaded: set[str] = set()
    waiting = set(starts)
    while waiting:
        module = waiting.pop()
        loaded.add(module)
        packages = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)}
        waiting |= (IMPORTS[module] | packages) - loaded
    return loaded


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_the_table_allows(room: str) -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        if room_of(module) == room:
            for target in IMPORTS[module]:
                used[room_of(target)].add(f"{module} -> {target}")
    used.pop(room, None)
    allowed = set(MAY_IMPORT[room].split())
    assert {target: why for target, why in used.items() if target not in allowed} == {}
    assert allowed <= used.keys(), (
        f"{room} imports no {allowed - used.keys()}: take it out of the table"
    )


@pytest.mark.parametrize(
    "folder", ["", *(module for module, path in MODULES.items() if path.name == "__init__.py")]
)
def test_there_is_no_circle_between_neighbours(folder: str) -> None:
    """Files and folders that lie side by side import each other one way, all that lies below a
    folder included.
    """

    def neighbour(module: str) -> str | None:
        if folder and not module.startswith(f"{folder}."):
            return None
        return module.removeprefix(f"{folder}." if folder else "").split(".")[0]

    graph: dict[str, set[str]] = {name: set() for name in filter(None, map(neighbour, MODULES))}
    for module, targets in IMPORTS.items():
        if start := neighbour(module):
            graph[start] |= {
                end for target in targets if (end := neighbour(target)) and end != start
            }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle in {folder or 'agent_assets'}: {' <- '.join(error.args[1])}")


def test_only_the_code_location_imports_resources() -> None:
    importers = {
        module
        for module in MODULES
        if any(room_of(target) == "resources" for target in IMPORTS[module])
    }
    assert {module for module in importers if room_of(module) != "resources"} == {"definitions"}


def test_nothing_imports_the_command_line() -> None:
    importers = {
        module for module in MODULES if any(room_of(target) == "cli" for target in IMPORTS[module])
    }
    assert {module for module in importers if not module.startswith("cli.")} == set()


def test_plain_rooms_do_not_know_dagster() -> None:
    assert {
        m for m in users_of("dagster") if m not in KNOW_DAGSTER and room_of(m) not in KNOW_DAGSTER
    } == set()
    assert users_of("weave") <= KNOW_WEAVE


def test_engine_programs_import_only_what_their_environment_has() -> None:
    programs = {module for module in MODULES if module.startswith(IN_ENGINES)}
    for module in programs:
        rooms = {room_of(target) for target in IMPORTS[module] - CONTRACTS}
        assert rooms <= PROGRAMS_MAY_IMPORT, (module, rooms - PROGRAMS_MAY_IMPORT)
    loaded = reached(programs)
    assert {
        module: heavy for module in loaded if (heavy := libraries(module) & NOT_IN_ENGINES)
    } == {}
    for module in loaded - programs:
        assert libraries(module, when_loaded=True) <= sys.stdlib_module_names, (
            f"{module} is loaded in engine environments"
        )


def test_the_code_location_is_light() -> None:
    """Loading it brings in none of the heavy libraries: every run and every `dagster` command pays
    for it.
    """
    code = (
        "import sys\n"
        "import agent_assets.definitions as module\n"
        "module.defs()\n"
        "heavy = {'torch', 'art', 'weave', 'litellm', 'transformers', 'vllm', 'openai', 'fastmcp'} "
        "& set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]


LINES_OF_A_FILE, LINES_OF_A_ROOM = 320, 2000
LARGE_ROOMS = ("engines", "serving", "synthesis")


def test_files_and_rooms_stay_small_enough_to_read() -> None:
    lines = {
        module: len(path.read_text(encoding="utf-8").splitlines())
        for module, path in MODULES.items()
    }
    assert {module: n for module, n in lines.items() if n > LINES_OF_A_FILE} == {}
    rooms: Counter[str] = Counter()
    for module, count in lines.items():
        rooms[room_of(module)] += count
    large = {room: n for room, n in rooms.items() if n > LINES_OF_A_ROOM}
    assert {room for room in large if not room.startswith(LARGE_ROOMS)} == set()
