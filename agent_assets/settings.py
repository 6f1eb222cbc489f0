"""Where this installation keeps things, from the environment. The only module that reads
environment variables by name.

| variable | meaning | default |
|---|---|---|
| AGENT_ASSETS_HOME | state of this installation: Dagster's, MongoDB's, leases, logs | `.agent_assets` beside the code |
| AGENT_ASSETS_STORE | artifact store: a folder or an fsspec URL | `<home>/store` |
| AGENT_ASSETS_ENGINES | folder of the engine environments | `.venvs` beside the code |
| AGENT_ASSETS_DEVICE | `auto`, `cpu` or `gpu`: where GPU stages run | `auto` |
| AGENT_ASSETS_AUTOMATION | settings of the schedule and the sensor | `agent_assets/defs/automation.yaml` |
| MONGODB_URI | MongoDB to read from; unset starts the embedded one | |
| MONGOD_BIN | the mongod that the embedded MongoDB runs | one on PATH, or the one in the `embedded` extra |
| AGENT_ASSETS_DAGSTER_URL | Dagster's web server, which the HTTP API starts runs with | `http://127.0.0.1:3000` |
| AGENT_ASSETS_SECRET | seals tokens and log-ins; the same on all hosts that share a MongoDB | a file in the home |
| MONGODB_DATABASE | database with the elders' answers | `afs` |
| OPENAI_API_KEY | lets a language model write training data (any text where the endpoint wants no key) | |
| OPENAI_BASE_URL | its OpenAI-compatible endpoint: vLLM, Ollama, a gateway | `https://api.openai.com/v1` |
| TEACHER_MODEL | its name | |
| WANDB_API_KEY | sends traces to W&B; weave itself reads the key. Unset keeps traces on this machine | |
| WANDB_PROJECT | `project` or `entity/project` of traces at W&B | `agent-assets` |
"""  # noqa: E501

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, cast

from agent_assets.errors import ConfigError
from agent_assets.privacy import private_folder

REPOSITORY = Path(__file__).resolve().parent.parent

DeviceChoice = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Settings:
    """The environment, resolved to absolute paths."""

    home: Path
    store: str
    engines: Path
    device: DeviceChoice
    automation: Path
    mongodb_uri: str | None = field(repr=False)
    mongodb_database: str
    wandb_project: str | None = None
    secret: str | None = field(default=None, repr=False)

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


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: AGENT_ASSETS_DEVICE is none of auto, cpu, gpu.
    """
    wandb = environment.get("WANDB_PROJECT") or "agent-assets"
    home = (
        Path(environment.get("AGENT_ASSETS_HOME") or REPOSITORY / ".agent_assets")
        .expanduser()
        .resolve()
    )
    store = environment.get("AGENT_ASSETS_STORE") or str(home / "store")
    device = environment.get("AGENT_ASSETS_DEVICE") or "auto"
    if device not in ("auto", "cpu", "gpu"):
        raise ConfigError(
            f"AGENT_ASSETS_DEVICE is '{device}'.",
            next_step="set it to auto, cpu or gpu, or unset it.",
        )
    return Settings(
        home=home,
        store=store if "://" in store else str(Path(store).expanduser().resolve()),
        engines=Path(environment.get("AGENT_ASSETS_ENGINES") or REPOSITORY / ".venvs")
        .expanduser()
        .resolve(),
        device=cast(DeviceChoice, device),
        automation=Path(
            environment.get("AGENT_ASSETS_AUTOMATION")
            or REPOSITORY / "agent_assets/defs/automation.yaml"
        ),
        mongodb_uri=environment.get("MONGODB_URI") or None,
        mongodb_database=environment.get("MONGODB_DATABASE") or "afs",
        wandb_project=wandb if environment.get("WANDB_API_KEY") else None,
        secret=environment.get("AGENT_ASSETS_SECRET") or None,
    )


def make_home(settings: Settings) -> None:
    """Make the folder of this installation's state, closed to other users, and see that files can
    be written there.

    Raises:
        ConfigError: they cannot.
    """
    try:
        private_folder(settings.home)
        with TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise ConfigError(
            f"{settings.home} cannot hold the state of this installation: {error.strerror}.",
            next_step="set AGENT_ASSETS_HOME to a folder you may write to.",
        ) from error


@dataclass(frozen=True)
class TeacherEnvironment:
    """Which language model may write training data. Without a key there is none."""

    api_key: str | None = field(repr=False)
    base_url: str
    model: str | None


def teacher_environment(environment: Mapping[str, str] = os.environ) -> TeacherEnvironment:
    """Read OPENAI_API_KEY, OPENAI_BASE_URL and TEACHER_MODEL."""
    return TeacherEnvironment(
        environment.get("OPENAI_API_KEY") or None,
        environment.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
        environment.get("TEACHER_MODEL") or None,
    )
