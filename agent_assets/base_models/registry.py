"""`base_models.yaml` of an installation: base models by key, and which one is current."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, model_validator

from agent_assets.base_models.config import BaseModelKey, BaseModelSettings
from agent_assets.errors import ConfigError
from agent_assets.strict_model import StrictModel, read_yaml

FILE_NAME = "base_models.yaml"
_CURRENT = re.compile(r"^current:.*$", re.MULTILINE)


class BaseModels(StrictModel):
    """What the file says."""

    current: BaseModelKey | None = Field(
        None, description="The base model of every pipeline that names none."
    )
    models: Mapping[BaseModelKey, BaseModelSettings] = Field(
        default_factory=dict, description="Base models by key."
    )

    @model_validator(mode="after")
    def _the_current_one_is_there(self) -> Self:
        if self.current is not None and self.current not in self.models:
            raise ValueError(f"current is '{self.current}', which is not among the models")
        return self

    def settings(self, key: str, file: Path) -> BaseModelSettings:
        """The base model of a key.

        Raises:
            ConfigError: there is none.
        """
        if key not in self.models:
            known = ", ".join(sorted(self.models)) or "no base model"
            raise ConfigError(
                f"There is no base model '{key}': {file} has {known}.",
                next_step="`agent-assets base list` shows them; add it there, or name another.",
            )
        return self.models[key]


def registry_file(home: Path) -> Path:
    """Where the base models of an installation stand."""
    return home / FILE_NAME


def read_base_models(file: Path) -> BaseModels:
    """The base models of an installation; none where there is no such file.

    Raises:
        ConfigError: the file is wrong.
    """
    return read_yaml(BaseModels, file) if file.is_file() else BaseModels()


def use_base_model(file: Path, key: str) -> None:
    """Make a base model the current one. Only the line `current:` changes: comments stay.

    Raises:
        ConfigError: there is no such key, or the file is wrong.
    """
    read_base_models(file).settings(key, file)
    text, line = file.read_text(encoding="utf-8"), f"current: {key}"
    changed = _CURRENT.sub(line, text, count=1) if _CURRENT.search(text) else f"{line}\n{text}"
    if BaseModels.model_validate(yaml.safe_load(changed)).current != key:
        raise ConfigError(
            f"{file} says more than once which base model is current.",
            next_step="leave one line `current:` in it.",
        )
    scratch = file.with_suffix(".new")
    scratch.write_text(changed, encoding="utf-8")
    scratch.replace(file)
