"""Put the pages of the site together: what is written in docs/, what lies elsewhere in the
repository and is linked to, and the reference, which is made from the code.

Run: python -m docs.website.assemble FOLDER
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from agent_assets.automation.config import AutomationConfig
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.serving.app import openapi_document
from agent_assets.serving_settings import ServingConfig
from docs.website.api_page import api_page
from docs.website.environment_page import environment_page
from docs.website.schema_tables import tables, undescribed

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = "repository"  # folder of the site with what is not below docs/
TOP_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
NOTEBOOK = ".ipynb"
_NO_PAGES = {"website"}
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_SETTINGS: Mapping[str, tuple[type[BaseModel], str, str]] = {
    "pipelines.md": (
        PipelineConfig,
        "Settings of a pipeline",
        "What `attributes` of `agent_assets/defs/<name>/defs.yaml` may say. A misspelt key is an "
        "error that names the nearest valid one. A change of a setting rebuilds what depends on "
        "it; `agent-assets plan` shows what, before anything is.",
    ),
    "automation.md": (
        AutomationConfig,
        "Settings of automation",
        "What `agent_assets/defs/automation.yaml` may say, or the copy that "
        "`AGENT_ASSETS_AUTOMATION` names.",
    ),
    "serving.md": (
        ServingConfig,
        "Settings of serving",
        "What `agent_assets/defs/serving.yaml` may say. Evaluation reads it, too: what is judged "
        "is what answers.",
    ),
}


def reference_pages() -> dict[str, str]:
    """Pages made from the code, by their names below `reference/`.

    Raises:
        SystemExit: a setting says nothing of what it means.
    """
    pages = {"environment.md": environment_page(), "api.md": api_page(openapi_document())}
    missing: list[str] = []
    for name, (model, title, introduction) in _SETTINGS.items():
        schema = model.model_json_schema()
        missing += [f"{model.__name__} {field}" for field in undescribed(schema, "the file")]
        first, *others = tables(schema, "The whole file")
        made_of = [first.markdown(level=2), *(table.markdown(level=2) for table in others)]
        pages[name] = f"# {title}\n\n{introduction}\n\n" + "\n".join(made_of)
    if missing:
        sys.exit("These settings need a description:\n" + "\n".join(missing))
    return pages


def written_pages() -> list[Path]:
    """Every page of docs/, relative to it."""
    pages = [path.relative_to(DOCS) for path in sorted(DOCS.rglob("*.md"))]
    return [page for page in pages if page.parts[0] not in _NO_PAGES]


def assemble(folder: Path) -> None:
    """Write all pages, and what they show and link to, into an empty folder."""
    linked: set[Path] = set()
    for page in written_pages():
        _write(folder / page, _with_links(DOCS / page, folder / page, folder, linked))
    for name in TOP_PAGES:
        target = folder / ELSEWHERE / name
        _write(target, _with_links(ROOT / name, target, folder, linked))
    for image in sorted((DOCS / "images").glob("*.png")):
        _copy(image, folder / "images" / image.name)
    for path in sorted(linked):
        _copy(path, _place_on_site(path, folder))
    for notebook in sorted((DOCS / "notebooks").glob("*.ipynb")):
        _write(_place_on_site(notebook, folder), _notebook_page(notebook))
    for name, text in reference_pages().items():
        _write(folder / "reference" / name, text)


def _with_links(source: Path, target: Path, folder: Path, linked: set[Path]) -> str:
    """The text of a page, with relative links that lead to where things are on the site.

    Args:
        linked: takes the files that are to be copied, because a page leads to them.
    """

    def moved(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        if "://" in link or link.startswith("mailto:"):
            return match[0]
        place = (source.parent / link).resolve()
        on_site = _place_on_site(place, folder)
        if place.is_file() and place.suffix not in (".md", ".png", NOTEBOOK):
            linked.add(place)
        return f"{before}{Path(os.path.relpath(on_site, target.parent)).as_posix()}{after}"

    return _LINK.sub(moved, source.read_text(encoding="utf-8"))


def _place_on_site(place: Path, folder: Path) -> Path:
    if place.is_relative_to(DOCS):
        on_site = folder / place.relative_to(DOCS)
        return on_site.with_suffix(".md") if place.suffix == NOTEBOOK else on_site
    return folder / ELSEWHERE / place.relative_to(ROOT)


def _notebook_page(notebook: Path) -> str:
    """The cells of a notebook, which is kept without what they print."""
    texts = []
    for cell in json.loads(notebook.read_bytes())["cells"]:
        source = "".join(cell["source"])
        texts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    where = f"This page is the notebook `{notebook.relative_to(ROOT)}`; its code runs in the tests."
    return "\n\n".join([*texts, where]) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
