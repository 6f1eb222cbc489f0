"""Where this installation keeps things, from the environment. The only module of the core process
that reads environment variables: others set them, for libraries and children, or hand them on whole.
Engine programs read their own, in environments that do not hold this module's libraries.

| variable | meaning | default |
|---|---|---|
| AGENT_ASSETS_PROJECT | folder of the project (`agent-assets init`) | the one that the current folder lies in; the checkout |
| AGENT_ASSETS_HOME | state of this installation: Dagster's, MongoDB's, leases, logs | `.agent_assets` in the project; in the user's home without one |
| AGENT_ASSETS_STORE | artifact store: a folder or an fsspec URL | `<home>/store` |
| AGENT_ASSETS_ENGINES | folder of the engine environments | `.venvs` in the project; `<home>/engines` without one |
| AGENT_ASSETS_DEVICE | `auto`, `cpu` or `gpu`: where GPU stages run | `auto` |
| AGENT_ASSETS_AUTOMATION | settings of the schedule and the sensor | `defs/automation.yaml` of the project |
| MONGODB_URI | MongoDB to read from; unset starts the embedded one | |
| MONGOD_BIN | the mongod that the embedded MongoDB runs | one on PATH, or the one in the `embedded` extra |
| DAGSTER_POSTGRES_URL | PostgreSQL for Dagster's history; Dagster itself reads it, too | SQLite in the home |
| AGENT_ASSETS_DAGSTER_URL | Dagster's web server, which the HTTP API starts runs with | `http://127.0.0.1:3000` |
| AGENT_ASSETS_API_URL | the HTTP API, where the Dagster UI's links to reports lead | `http://127.0.0.1:8000` |
| AGENT_ASSETS_SECRET | seals tokens and log-ins; the same on all hosts that share a MongoDB | a file in the home |
| MONGODB_DATABASE | database with the elders' answers | `afs` |
| OPENAI_API_KEY | lets a language model write training data (any text where the endpoint wants no key) | |
| OPENAI_BASE_URL | its OpenAI-compatible endpoint: vLLM, Ollama, a gateway | `https://api.openai.com/v1` |
| TEACHER_MODEL | its name | |
| (named by `rl.judge.api_key_env`) | key of the judge of reinforcement learning | |
| AGENT_ASSETS_ALERT_SECRET | signs alerts (`alerts.secret_env` of automation.yaml may name another) | |
| AGENT_ASSETS_EMBEDDING_API_KEY | key of a server that embeds memories (`elder_memories.embedding`) | |
| AGENT_ASSETS_TOOL_TOKEN | token that our MCP servers ask for over sse and http; the memory server wants one there | |
| TRACES | `local` keeps traces on this machine; `wandb` sends them, with the elders' words, to W&B | `local` |
| WANDB_API_KEY | key of W&B, for `TRACES=wandb`; weave itself reads it. Alone it sends nothing | |
| WANDB_PROJECT | `project` or `entity/project` of traces at W&B | `agent-assets` |
| PYTHON_CPU, PYTHON_GPU | the Python 3.11 and 3.12 that `agent-assets setup` makes engine environments with | python3.11, python3.12 |
| TORCH_ARGS | further arguments of the `pip install` of torch in `agent-assets setup`, such as the index of the CPU builds | |
| ART_VLLM_RUNTIME_BIN | the server of ART's LocalBackend; ART itself reads it | |
| CUDA_VISIBLE_DEVICES | the GPUs that may be used, as the driver understands it | all |
| XDG_RUNTIME_DIR | where sockets lie whose path would be too long in the home | `/tmp` |
| SUDO_USER | who typed a command as root, for the history of releases | |

Variables may stand in the `.env` of the project; those of the process come first.
"""  # noqa: E501

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from agent_assets.errors import ConfigError
from agent_assets.projects.project import OWN_PACKAGE, Project, find_project, project_at

ART_RUNTIME = "ART_VLLM_RUNTIME_BIN"

DeviceChoice = Literal["auto", "cpu", "gpu"]
_Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())]
_FROM_ENVIRONMENT = ConfigDict(validate_by_name=True, extra="ignore")
_T = TypeVar("_T")


def _resolved_store(store: str) -> str:
    return store if "://" in store else str(Path(store).expanduser().resolve())


def _named_project(value: Any) -> Any:
    return project_at(Path(value)) if isinstance(value, str) else value


def _home_of(fields: dict[str, Any]) -> Path:
    project: Project | None = fields["project"]
    return (project.folder if project else Path.home()) / ".agent_assets"


def _engines_of(fields: dict[str, Any]) -> Path:
    project: Project | None = fields["project"]
    return project.folder / ".venvs" if project else Path(fields["home"]) / "engines"


def _automation_of(fields: dict[str, Any]) -> Path:
    project: Project | None = fields["project"]
    own = project.defs / "automation.yaml" if project else None
    return own if own and own.is_file() else OWN_PACKAGE / "defs" / "automation.yaml"


def _store_in_home(fields: dict[str, Any]) -> str:
    return str(fields["home"] / "store")


@dataclass(frozen=True, config=_FROM_ENVIRONMENT)
class Settings:
    """The environment, resolved to absolute paths. The table above says what each means."""

    project: Annotated[Project | None, BeforeValidator(_named_project)] = Field(
        default_factory=lambda: find_project(Path.cwd()), validation_alias="AGENT_ASSETS_PROJECT"
    )
    home: _Folder = Field(default_factory=_home_of, validation_alias="AGENT_ASSETS_HOME")
    store: Annotated[str, AfterValidator(_resolved_store)] = Field(
        default_factory=_store_in_home, validation_alias="AGENT_ASSETS_STORE"
    )
    engines: _Folder = Field(default_factory=_engines_of, validation_alias="AGENT_ASSETS_ENGINES")
    device: DeviceChoice = Field(default="auto", validation_alias="AGENT_ASSETS_DEVICE")
    automation: Path = Field(
        default_factory=_automation_of, validation_alias="AGENT_ASSETS_AUTOMATION"
    )
    mongodb_uri: str | None = Field(default=None, validation_alias="MONGODB_URI", repr=False)
    mongodb_database: str = Field(default="afs", validation_alias="MONGODB_DATABASE")
    postgres_url: str | None = Field(
        default=None, validation_alias="DAGSTER_POSTGRES_URL", repr=False
    )
    dagster_url: str = Field(
        default="http://127.0.0.1:3000", validation_alias="AGENT_ASSETS_DAGSTER_URL"
    )
    api_url: str = Field(default="http://127.0.0.1:8000", validation_alias="AGENT_ASSETS_API_URL")
    traces: Literal["local", "wandb"] = Field(default="local", validation_alias="TRACES")
    wandb_project: str | None = Field(default=None, validation_alias="WANDB_PROJECT")
    secret: str | None = Field(default=None, validation_alias="AGENT_ASSETS_SECRET", repr=False)

    @property
    def secrets(self) -> Path:
        """Folder of this installation's keys."""
        return self.home / "secrets"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the services this installation starts."""
        return self.home / "dagster"

    @property
    def workspace(self) -> Path:
        """Where the services of this installation find its code server; there while they run."""
        return self.home / "workspace.yaml"

    @property
    def mongo_data(self) -> Path:
        """Data folder of the embedded MongoDB."""
        return self.home / "mongodb"


@dataclass(frozen=True, config=_FROM_ENVIRONMENT)
class TeacherEnvironment:
    """Which language model may write training data. Without a key there is none."""

    api_key: str | None = Field(default=None, validation_alias="OPENAI_API_KEY", repr=False)
    base_url: str = Field(default="https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    model: str | None = Field(default=None, validation_alias="TEACHER_MODEL")


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. A variable that is empty is not set.

    Args:
        environment: of this process, or of one that is to be started.

    Raises:
        ConfigError: AGENT_ASSETS_DEVICE is none of auto, cpu, gpu, or TRACES none of local, wandb;
            or TRACES is wandb without a key.
    """
    variables = dict(environment)
    if variables.get("TRACES") != "wandb":
        variables["WANDB_PROJECT"] = ""
    elif not variables.get("WANDB_API_KEY"):
        raise ConfigError(
            "TRACES is wandb, and there is no key of W&B.",
            next_step="set WANDB_API_KEY, or unset TRACES to keep traces on this machine.",
        )
    elif not variables.get("WANDB_PROJECT"):
        variables["WANDB_PROJECT"] = "agent-assets"
    return _read(Settings, variables)


def enter_project(path_within: Path | None = None) -> Settings:
    """The settings of a process that works on a project. The variables of its `.env` are set where
    the process has none of that name, and children work on the same project.

    Args:
        path_within: a file of the project that is meant, wherever the process was started; None
            means the project of the environment.

    Raises:
        ConfigError: a setting is wrong.
    """
    if path_within is not None and (meant := find_project(path_within)) is not None:
        here = load_settings({}).project if not os.environ.get("AGENT_ASSETS_PROJECT") else None
        if meant != here:
            os.environ["AGENT_ASSETS_PROJECT"] = str(meant.folder)
    project = load_settings().project
    if project is not None:
        for name, value in dotenv_values(project.folder / ".env").items():
            os.environ.setdefault(name, value or "")
    return load_settings()


def teacher_environment(environment: Mapping[str, str] = os.environ) -> TeacherEnvironment:
    """Read OPENAI_API_KEY, OPENAI_BASE_URL and TEACHER_MODEL."""
    return _read(TeacherEnvironment, environment)


def _read(kind: type[_T], environment: Mapping[str, str]) -> _T:
    variables = {name: value for name, value in environment.items() if value}
    try:
        return TypeAdapter(kind).validate_python(variables)
    except ValidationError as error:
        first = error.errors()[0]
        choices = str(first.get("ctx", {}).get("expected", "")).replace("'", "")
        raise ConfigError(
            f"{first['loc'][0]} is '{first['input']}'.",
            next_step=f"set it to {choices}, or unset it.",
        ) from None


def mongod_program() -> str | None:
    """The mongod that somebody chose (MONGOD_BIN)."""
    return os.environ.get("MONGOD_BIN") or None


def art_runtime() -> str | None:
    """The server of ART's LocalBackend (ART_VLLM_RUNTIME_BIN)."""
    return os.environ.get(ART_RUNTIME) or None


def chosen_python(variable: str) -> str | None:
    """The interpreter that somebody chose for engine environments (PYTHON_CPU, PYTHON_GPU)."""
    return os.environ.get(variable) or None


def torch_arguments() -> str:
    """Further arguments of pip for the CPU build of torch (TORCH_ARGS)."""
    return os.environ.get("TORCH_ARGS", "")


def secret_variable(name: str) -> str | None:
    """A key that a configuration names by its variable."""
    return os.environ.get(name) or None


def visible_gpus(environment: Mapping[str, str] = os.environ) -> str | None:
    """CUDA_VISIBLE_DEVICES; None allows all, an empty text none."""
    return environment.get("CUDA_VISIBLE_DEVICES")


def runtime_folder() -> Path:
    """Where sockets may lie (XDG_RUNTIME_DIR, or /tmp)."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")


def this_user() -> str:
    """Who types, also as root (SUDO_USER)."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def whole_environment() -> dict[str, str]:
    """A copy of the environment, for children."""
    return dict(os.environ)


@contextmanager
def set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables while the block runs; afterwards they are as they were before it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
