"""Files of a new project and of a new pipeline, from the templates beside this module."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent_assets.errors import ConfigError

# Of a pipeline; that of a package, too.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PROJECT, _PIPELINE = "project", "pipeline"


def valid_name(name: str) -> bool:
    """Whether a pipeline can be called so."""
    return _NAME.fullmatch(name) is not None


def project_files(values: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
    """Files of a project around its pipelines, by path. `_package` stands for the package."""
    return _rendered(_PROJECT, values)


def pipeline_files(name: str) -> Iterator[tuple[str, bytes]]:
    """Files of a pipeline with tools of its own.

    Raises:
        ConfigError: it cannot be called so.
    """
    if not valid_name(name):
        raise ConfigError(
            f"'{name}' cannot be the name of a pipeline.",
            next_step="take up to 64 letters, digits and _, a letter first.",
        )
    return _rendered(_PIPELINE, {"name": name})


def _rendered(folder: str, values: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "template" / folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Python, TOML and YAML, of names that were checked
    )
    for name in templates.list_templates(extensions=["jinja"]):
        text = templates.get_template(name).render(values)
        yield name.removesuffix(".jinja"), text.encode()
