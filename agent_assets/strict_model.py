"""Configuration models: a misspelt key is an error that names the nearest valid one, and every
field says whether it enters fingerprints.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from agent_assets.errors import ConfigError
from agent_assets.text.languages.rules import LANGUAGE_CODE

LanguageKey = Annotated[str, StringConstraints(pattern=LANGUAGE_CODE)]  # an ISO 639 code
Model = TypeVar("Model", bound=BaseModel)
LeftOut: TypeAlias = "dict[str, bool | LeftOut]"


@dataclass(frozen=True)
class NotInFingerprint:
    """Marks a field (`Annotated[float, NotInFingerprint()]`) that says how a run is carried out,
    not what it makes.

    Args:
        unless: name and value of another field of the model with which this one does count.
    """

    unless: tuple[str, str] | None = None

    def leaves_out_of(self, model: BaseModel) -> bool:
        """Whether the field stays out of the fingerprint of this configuration."""
        return self.unless is None or getattr(model, self.unless[0]) != self.unless[1]


NOT_IN_FINGERPRINT = NotInFingerprint()


@dataclass(frozen=True)
class InFingerprintIfSet:
    """Marks a field that came later: with its default it stays out, so that what was made before
    is what it was.
    """


IN_FINGERPRINT_IF_SET = InFingerprintIfSet()


class StrictModel(BaseModel):
    """Base of every configuration model. Instances are frozen: configuration is an input, never
    state.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        valid = list(cls.model_fields)
        for key in value:
            if key not in valid:
                nearest = difflib.get_close_matches(str(key), valid, n=1)
                hint = (
                    f"did you mean '{nearest[0]}'?"
                    if nearest
                    else f"valid keys are {', '.join(sorted(valid))}."
                )
                raise ValueError(f"unknown key '{key}': {hint}")
        return value

    def fingerprint_settings(self) -> dict[str, object]:
        """What fingerprints hold of this configuration: every field but those marked
        `NotInFingerprint`.
        """
        return self.model_dump(exclude=self._left_out())

    def _left_out(self) -> LeftOut:
        left_out: LeftOut = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            marks = [mark for mark in field.metadata if isinstance(mark, NotInFingerprint)]
            unset = IN_FINGERPRINT_IF_SET in field.metadata and value == field.get_default(
                call_default_factory=True, validated_data={}
            )
            if unset or any(mark.leaves_out_of(self) for mark in marks):
                left_out[name] = True
            elif isinstance(value, StrictModel) and (inner := value._left_out()):
                left_out[name] = inner
        return left_out


def validation_problems(error: ValidationError, *, whole: str) -> list[str]:
    """What does not fit, one text each: where it stands, and what is wrong with it. The values are
    left out: they may be secrets.

    Args:
        whole: what to call the place of a problem that is not one field's.
    """
    return [
        f"{'.'.join(map(str, problem['loc'])).strip() or whole}: "
        f"{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False)
    ]


def read_yaml(kind: type[Model], path: Path) -> Model:
    """A configuration from a file; an empty file has the defaults.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: it is not YAML, or has a wrong or unknown setting.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path} is not valid YAML: {error}.", next_step="correct the file."
        ) from None
    except ValidationError as error:
        problems = "; ".join(validation_problems(error, whole="the file"))
        raise ConfigError(f"{path} is wrong: {problems}.", next_step="correct the file.") from None
