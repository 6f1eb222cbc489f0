"""Automation settings: `defs/automation.yaml` (or another file), one model per concern."""

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from agent_assets.alerts.config import AlertsConfig
from agent_assets.dagster_internals import is_valid_cron_string
from agent_assets.errors import ConfigError
from agent_assets.settings import load_settings
from agent_assets.strict_model import StrictModel, read_yaml


class NightlyConfig(StrictModel):
    """The schedule: everything is looked at, by content, and what is stale is refreshed."""

    enabled: bool = Field(True, description="Whether it runs without being switched on in the UI.")
    cron: str = Field("0 2 * * *", description="When.")
    timezone: str = Field("UTC", description="Time zone of `cron`, as in `Europe/Berlin`.")
    max_runs_per_tick: int = Field(
        1000,
        ge=0,
        le=5000,
        description="More are left to the sensor's ticks. 0 looks and reports, and starts nothing.",
    )

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        if not is_valid_cron_string(cron):
            raise ValueError(
                f"'{cron}' is not a cron expression of five fields, such as `0 2 * * *`"
            )
        return cron

    @field_validator("timezone")
    @classmethod
    def _is_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(
                f"'{name}' is not a time zone; write one such as `Europe/Berlin`"
            ) from None
        return name


class WatchConfig(StrictModel):
    """The sensor: new, changed and removed elders between nights."""

    enabled: bool = Field(True, description="Whether it runs without being switched on in the UI.")
    interval_s: int = Field(60, ge=5, description="Seconds between two looks.")
    debounce_s: float = Field(
        120.0, ge=0, description="Seconds without a change until an elder's runs start."
    )
    max_runs_per_tick: int = Field(
        200,
        ge=0,
        le=5000,
        description="More are left to the next tick. 0 looks and reports, and starts nothing.",
    )
    shared_sources_s: float = Field(
        900.0,
        ge=0,
        description="Seconds until tool servers and weight files are looked at again; a night "
        "always looks.",
    )
    read_seconds: float = Field(
        25.0,
        gt=0,
        description="Longest time a tick reads changed elders; Dagster ends a tick after 60 s.",
    )


class RemovalConfig(StrictModel):
    """What happens to elders who are gone from MongoDB."""

    policy: Literal["remove", "keep"] = Field(
        "remove", description="`keep` leaves their partitions alone."
    )
    after_days: float = Field(
        7.0, ge=0, description="Days of absence before an elder's partition is removed."
    )
    max_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="If more elders than this share are due at once, none is: a database may be "
        "wrong.",
    )


class RunConfig(StrictModel):
    """How requested runs are made."""

    max_retries: int = Field(1, ge=0, le=10, description="How often a failed run is started again.")


class RetentionConfig(StrictModel):
    """What `agent-assets prune` keeps."""

    keep_versions: int = Field(
        3, ge=1, description="Latest versions kept of each artifact of each elder."
    )
    temporary_hours: float = Field(
        24.0, gt=0, description="Hours without a change until a temporary folder is removed."
    )


class AutomationConfig(StrictModel):
    """All of `defs/automation.yaml`."""

    nightly: NightlyConfig = NightlyConfig()
    watch: WatchConfig = WatchConfig()
    removed_elders: RemovalConfig = RemovalConfig()
    runs: RunConfig = RunConfig()
    retention: RetentionConfig = RetentionConfig()
    alerts: AlertsConfig = AlertsConfig()


def load_automation(path: Path | None = None) -> AutomationConfig:
    """Read the file; None reads that of `Settings.automation`.

    Raises:
        ConfigError: it is not there, no YAML, or has a wrong or unknown setting.
    """
    path = path or load_settings().automation
    try:
        return read_yaml(AutomationConfig, path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is missing.", next_step="restore it, or unset AGENT_ASSETS_AUTOMATION."
        ) from None
