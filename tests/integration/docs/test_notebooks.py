"""The notebooks of docs/notebooks, run from their first cell to the last in a kernel of their own,
on a project whose model is tiny and whose one elder told a few memories.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.engines.environment import EngineEnv
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.planning.history import DATA_VERSION_TAG, FINGERPRINT_TAG
from agent_assets.projects.init import write_project
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.command_line import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"
ELDER = "shen-fu"
# What `make demo` would have made before, in the kernel that the notebook runs in.
PREPARE = f"""
from agent_assets import workbench
workbench.materialize("elder_companion", ["mcp_tool_schema", "questions"])
workbench.materialize("elder_companion", ["elder_memories", "train_jsonl"], {ELDER!r})
"""


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    """A project of its own, with a pipeline that trains in seconds."""
    root = tmp_path / "my-agents"
    write_project(root, samples=True)
    file = root / "my_agents" / "defs" / "elder_companion" / "defs.yaml"
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    attributes = definition["attributes"]
    attributes |= {
        "base_model": {"source": str(tiny_model)},
        "sft_adapter": {"epochs": 1, "learning_rate": 5e-3, "batch_size": 8},
    }
    attributes["train_jsonl"] |= {"memory_tool_questions": 4, "heldout_recall": 2}
    file.write_text(yaml.safe_dump(definition, allow_unicode=True), encoding="utf-8")
    return root


@pytest.fixture
def environment(
    project: Path, tmp_path: Path, engine_env: EngineEnv, mongo_uri: str, mongo_db: Any
) -> Mapping[str, str]:
    """Variables of a process that works on that project, with one elder in MongoDB."""
    (elder,) = load_sample_elders([ELDER])
    few = dataclasses.replace(elder, memories=elder.memories[:6])
    with connect(mongo_uri) as client:
        seed_elders(client[mongo_db.name], MongoLayout.service(), [few])
    return os.environ | {
        "AGENT_ASSETS_HOME": str(tmp_path / "home"),
        "AGENT_ASSETS_ENGINES": str(engine_env.python.parent.parent.parent),
        "AGENT_ASSETS_DEVICE": "cpu",
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": mongo_db.name,
        "AGENT_ASSETS_PROJECT": str(project),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }


@pytest.mark.engine
def test_the_seven_checks_hold(
    environment: Mapping[str, str], project: Path, tiny_model: Path
) -> None:
    add_base_model(load_settings(environment), tiny_model)
    shown = run_notebook("checks", environment, project, before=PREPARE)
    assert "沈复" in shown["print(prompt)"]
    assert "'status': 'completed'" in shown["progress"] and "total_epochs" in shown["progress"]
    assert "6 memories stand behind a row" in shown["unused["]
    assert "Nothing was evaluated yet." in shown["display(own"]


def test_an_agent_of_ones_own_has_rows(environment: Mapping[str, str], project: Path) -> None:
    shown = run_notebook("own-agent", environment, project)
    assert "'train_jsonl': 'built'" in shown["workbench.materialize"]
    assert "opening_hours" in shown["rows["] and "shelf_of" in shown["rows["]
    assert not (project / "my_agents" / "defs" / "library_guide").exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    """A diff shows what a person changed, and no figure of somebody's memories is committed."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.source


def add_base_model(settings: Settings, model: Path) -> None:
    """The base model as its stage would have made it, without the ten seconds that takes."""
    prepare_dagster_home(settings)
    key = ArtifactKey("elder_companion", "base_model")
    files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in model.iterdir()}
    version = add_artifact(ArtifactStore(settings.store), key, "ba5e" * 8, files).manifest
    tags = {FINGERPRINT_TAG: "ba5e" * 8, DATA_VERSION_TAG: version.data_version}
    with open_instance(settings) as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization([key.pipeline, key.asset], tags=tags)
        )


class Shown(dict[str, str]):
    """What the cells of a notebook show as text: `shown["rows["]` is of the cell whose last line
    begins so.
    """

    def __missing__(self, beginning: str) -> str:
        return next(
            text
            for source, text in self.items()
            if source.splitlines()[-1].lstrip().startswith(beginning)
        )


def run_notebook(
    name: str, environment: Mapping[str, str], project: Path, *, before: str = ""
) -> Shown:
    """Run a notebook as Jupyter does, after the code of `before`; the first cell that fails ends
    it.
    """
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    if before:
        book.cells.insert(0, nbformat.v4.new_code_cell(before))
    client = NotebookClient(
        book, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    )
    client.execute(env=dict(environment))
    return Shown({cell.source: _text(cell) for cell in book.cells if cell.cell_type == "code"})


def _text(cell: Any) -> str:
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
