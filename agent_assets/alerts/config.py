"""`alerts:` of automation.yaml."""

from enum import StrEnum

from pydantic import Field, field_validator

from agent_assets.strict_model import StrictModel


class Event(StrEnum):
    """What is told."""

    RUN_FAILED = "run_failed"  # and nothing starts it again
    CANDIDATE_HELD = "candidate_held"  # the gate did not let it answer
    DAMAGED_FILE = "damaged_file"  # a pointer, tombstone, artifact or database
    LOW_DISK = "low_disk"
    TEST = "test"


class AlertsConfig(StrictModel):
    """Where alerts go, and which. Without a URL they are counted (`/metrics`) and sent nowhere."""

    url: str | None = Field(None, description="A webhook that takes JSON by POST.")
    secret_env: str = Field(
        "AGENT_ASSETS_ALERT_SECRET",
        description="Environment variable with the secret that signs each alert (HMAC-SHA256).",
    )
    events: frozenset[Event] = Field(
        frozenset(Event) - {Event.TEST}, description="Which events are sent."
    )
    min_free_gb: float = Field(
        10.0, ge=0, description="Less free space than this, in GiB, for home or store is an event."
    )
    repeat_hours: float = Field(
        24.0, gt=0, description="Hours until what is still so (disk, damage) is told again."
    )
    interval_s: int = Field(60, ge=5, description="Seconds between two looks.")
    timeout_s: float = Field(5.0, gt=0, le=30, description="Longest time of one request.")
    max_attempts: int = Field(
        8, ge=1, le=20, description="Requests per alert, a minute apart, then two, four and so on."
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("a webhook begins with https:// (or http://)")
        return url
