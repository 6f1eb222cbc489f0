"""Configuration models in which a misspelt key is an error that names the nearest valid one."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class StrictModel(BaseModel):
    """Base of every configuration model. Instances are frozen: configuration is an input, never state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        valid = list(cls.model_fields)
        for key in value:
            if key not in valid:
                nearest = difflib.get_close_matches(str(key), valid, n=1)
                hint = f"did you mean '{nearest[0]}'?" if nearest else f"valid keys are {', '.join(sorted(valid))}."
                raise ValueError(f"unknown key '{key}': {hint}")
        return value
