"""One public name for one thing: a reader who searches for a function or a class finds one."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Names that several modules have to define, because something else calls them by that name.
SHARED = {
    "main": "entry points",
    "defs": "what Dagster loads",
    "config": "a stage's part of the pipeline's configuration; the route of the same name",
    "read_source": "a stage's outer input",
    "present": "whether a pipeline has the stage",
    "has_source": "whether a stage has an outer input in a pipeline",
    "build": "what a stage does",
    "progress": "of a training: a route, and a cell of a notebook",
}


def public_names() -> dict[str, set[str]]:
    """Public functions and classes at the top of our modules -> the modules that define them."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in [*(ROOT / "agent_assets").rglob("*.py"), *(ROOT / "resources").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[node.name].add(str(path.relative_to(ROOT)))
    return {name: paths for name, paths in names.items() if not name.startswith("_")}


def test_a_public_name_is_defined_in_one_module() -> None:
    twice = {name: sorted(paths) for name, paths in public_names().items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in SHARED} == {}


def test_a_shared_name_of_a_stage_lies_with_the_stages() -> None:
    names = public_names()
    for name in ("read_source", "present", "build"):
        folders = {str(Path(path).parent) for path in names[name]}
        assert folders <= {"agent_assets/pipeline/stages", "agent_assets/pipeline/exporting"}
