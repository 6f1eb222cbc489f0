"""What is wrong with a pipeline's YAML, in one message: Dagster wraps it several times, with a page
of its own code.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from pydantic import ValidationError

from agent_assets.dagster_internals import (
    CheckError,
    ComponentTreeException,
    DagsterUnresolvableSymbolError,
)
from agent_assets.errors import AgentAssetsError, ConfigError
from agent_assets.strict_model import validation_problems

_LOADING = (
    ComponentTreeException,
    yaml.YAMLError,
    ValidationError,
    DagsterUnresolvableSymbolError,
    CheckError,
)
_NEXT = "correct the file; every setting is described in agent_assets/pipeline/config.py."


@contextmanager
def yaml_errors_told() -> Iterator[None]:
    """Turn what Dagster raises while it loads `defs/` into a ConfigError that names file, line and
    mistake.
    """
    try:
        yield
    except _LOADING as error:
        for cause in _chain(error):
            if isinstance(cause, AgentAssetsError):
                raise cause from error
            if text := _told(cause):
                raise ConfigError(text, next_step=_NEXT) from error
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _told(error: BaseException) -> str | None:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return (
            f"{mark.name}, line {mark.line + 1}, column {mark.column + 1} is no "
            "YAML: "
            f"{error.problem}."
        )
    if isinstance(error, ValidationError):
        return "; ".join(validation_problems(error, whole="the pipeline"))
    if isinstance(error, DagsterUnresolvableSymbolError | CheckError):
        return f"A defs.yaml cannot be loaded: {error}"
    return None
