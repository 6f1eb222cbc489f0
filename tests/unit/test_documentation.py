"""The reference of the documentation site says what the code says, and nothing of this machine."""

import tempfile
from functools import cache
from pathlib import Path

import yaml
from click import Context, Group

from agent_assets.automation.config import AutomationConfig
from agent_assets.cli.main import commands
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings
from agent_assets.strict_model import StrictModel
from docs.website.assemble import ROOT, assemble, reference_pages
from docs.website.schema_tables import tables

pages = cache(reference_pages)


def test_the_reference_is_the_same_each_time_and_names_no_folder_of_this_machine() -> None:
    assert reference_pages() == pages()
    for name, text in pages().items():
        for folder in (ROOT, Path.home(), Path(tempfile.gettempdir()) / "x"):
            assert str(folder) not in text, name


def test_every_setting_is_there_with_its_meaning() -> None:
    models: dict[str, type[StrictModel]] = {
        "pipelines": PipelineConfig,
        "automation": AutomationConfig,
        "serving": ServingConfig,
    }
    for name, model in models.items():
        text = pages()[f"{name}.md"]
        for setting in model.model_fields:
            assert f"| `{setting}` |" in text
        for table in tables(model.model_json_schema(), "The whole file"):
            assert all(row[3] for row in table.rows), table.title
    assert "| `requests_per_minute` | integer ≥ 1 | `120` | By token" in pages()["serving.md"]
    assert "## train_jsonl.mix" in pages()["pipelines.md"]
    assert Settings.__doc__ and "| `AGENT_ASSETS_HOME` |" in pages()["environment.md"]


def test_every_route_is_there() -> None:
    for route in ("POST /chat", "GET /models/{elder_id}", "DELETE /elders/{elder_id}"):
        assert f"### `{route}`" in pages()["api.md"]
    assert "| `elder_id` | string" in pages()["api.md"]


def test_every_command_and_option_is_on_its_page() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in commands.commands.items():
        below = command.commands.values() if isinstance(command, Group) else ()
        for each in (command, *below):
            with Context(each, info_name=name):
                options = [option for param in each.params for option in param.opts]
            for option in options if not command.hidden else ():
                assert not option.startswith("--") or option in text, f"{name} {option}"


def test_every_page_that_is_listed_is_there_once(tmp_path: Path) -> None:
    assemble(tmp_path)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    config = yaml.safe_load((ROOT / "docs/website/mkdocs.yml").read_text(encoding="utf-8"))
    listed: list[str] = []
    for entry in config["nav"]:
        for value in entry.values():
            listed += [value] if isinstance(value, str) else [p for e in value for p in e.values()]
    assert len(listed) == len(set(listed)) and set(listed) <= made
    reference = {name for name in made if name.startswith("reference/")}
    assert reference <= set(listed)
