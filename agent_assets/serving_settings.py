"""Settings of serving: `defs/serving.yaml`. Defaults suit two CPU cores.

Evaluation reads them, too: what is judged is what answers.
"""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent_assets.agent.loop import Limits
from agent_assets.settings import load_settings
from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel, read_yaml

Network = IPv4Network | IPv6Network


def _origin(text: str) -> str:
    """An origin as browsers send it: lower case, no slash at its end."""
    origin = text.rstrip("/").lower()
    if re.fullmatch(r"https?://[^/*\s]+", origin) is None:
        raise ValueError(
            "an origin is http:// or https:// with a host, and a port where it has one"
        )
    return origin


_ALONE, _BESIDE, _IN_ALL = 0.85, 0.45, 0.95  # shares of a GPU's memory


class InferenceConfig(StrictModel):
    """The model server behind the API: one base model, adapters on demand."""

    url: str | None = Field(
        None,
        description="OpenAI-compatible server to use, ends in /v1; None starts vLLM on loopback "
        "when needed.",
    )
    slots: int = Field(
        8, ge=1, le=256, description="Adapters loaded at once; the one used longest ago goes first."
    )
    max_rank: int = Field(
        16, ge=8, le=512, description="Highest LoRA rank; every slot takes the memory of this rank."
    )
    max_model_len: int = Field(
        2048,
        ge=256,
        description="Context length in tokens; left out, the base model's `context_length`.",
    )
    tool_call_parser: str | None = Field(
        None,
        min_length=1,
        description="vLLM's parser of tool calls (`--tool-call-parser`), in evaluation and "
        "reinforcement learning, too; None takes the one that fits the chat template.",
    )
    max_concurrency: int = Field(
        16, ge=1, description="Answers worked on at once; the others wait."
    )
    max_memory_gb: float = Field(
        64.0, gt=0, description="The server is restarted when it holds more."
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory of all model servers together; None: what is free. Where another base "
        "model has no room, the server that was used longest ago goes. Not for a GPU.",
    )
    gpu: Literal["hand_over", "share"] = Field(
        "hand_over",
        description="`hand_over`: a stage that trains or evaluates gets the whole GPU, and nobody "
        "is answered on it meanwhile. `share`: servers stay, and stages have the rest of its "
        "memory.",
    )
    gpu_wait_seconds: float = Field(
        20.0,
        ge=0,
        description="Longest wait of a request while a stage has the GPU; then it is answered "
        "with 503 and Retry-After.",
    )
    gpu_memory_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a GPU's whole memory for all servers together; they do not start "
        "where less is free. None: 0.85, or 0.45 with `gpu: share`. Not for a CPU.",
    )
    warm_up: bool = Field(
        False, description="Start the model server with the API instead of with the first answer."
    )
    wait_seconds: float = Field(
        300.0, gt=0, description="Longest wait for a start, or for a free slot."
    )

    @property
    def gpu_memory(self) -> float:
        """Share of a GPU's memory for all servers together."""
        return self.gpu_memory_share or (_ALONE if self.gpu == "hand_over" else _BESIDE)

    @property
    def gpu_memory_of_stages(self) -> float:
        """Share of a GPU's memory that a server of evaluation takes beside these."""
        return _ALONE if self.gpu == "hand_over" else max(0.0, _IN_ALL - self.gpu_memory)

    def context_length(self, of_base: int | None) -> int:
        """Tokens that agents read at once.

        Args:
            of_base: what their base model says; None: nothing.
        """
        is_set = of_base is None or "max_model_len" in self.model_fields_set
        return self.max_model_len if is_set else of_base


class AnswerConfig(StrictModel):
    """Limits of one answer."""

    max_turns: int = Field(4, ge=1, description="Model turns, those that call tools included.")
    max_tool_calls: int = Field(8, ge=0, description="Calls of tools, all turns together.")
    max_tokens: int = Field(256, ge=8, description="Tokens per model turn.")
    seconds: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        120.0, gt=0, description="Longest time of an answer of `/chat`."
    )
    stream_seconds: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        600.0, gt=0, description="Longest stream of `/v1`, whose client decides how much it asks."
    )
    tool_sessions: Annotated[int, NOT_IN_FINGERPRINT] = Field(
        16, ge=1, description="Agents whose tool servers are kept open."
    )
    max_history: int = Field(
        40, ge=0, description="Earlier messages that are kept; the system prompt always is."
    )

    @property
    def limits(self) -> Limits:
        """Where the agent loop of one answer ends at the latest."""
        return Limits(self.max_turns, self.max_tool_calls, self.seconds)


class ConnectionLimits(StrictModel):
    """What one connection, and one address, may hold."""

    connections: int = Field(512, ge=8, description="Open connections, of all addresses together.")
    per_address: int = Field(
        256,
        ge=4,
        description="Open connections of one address. A new one ends the one that waits longest "
        "for a request.",
    )
    header_bytes: int = Field(32_768, ge=4096, description="Request line and headers together.")
    request_seconds: float = Field(
        30.0, gt=0, description="Until a request has arrived, with its body."
    )
    response_seconds: float = Field(3600.0, gt=0, description="Until a response has been sent.")
    stall_seconds: float = Field(
        30.0, gt=0, description="A client that takes nothing of its response is gone after that."
    )


class ServingConfig(StrictModel):
    """Everything `agent-assets serve` can be told besides where it listens."""

    inference: InferenceConfig = InferenceConfig()
    answers: AnswerConfig = AnswerConfig()
    edit_memories: Literal["embedded", "always", "never"] = Field(
        "embedded",
        description="Whether the web app may add, correct and withdraw memories in the elders' own "
        "collection: only in the embedded MongoDB, in any, or not at all.",
    )
    requests_per_minute: int = Field(
        120, ge=1, description="By token, or by address where there are no tokens."
    )
    answers_at_once: int = Field(
        4, ge=1, description="Requests that one elder's token may have going on at once."
    )
    exports_at_once: int = Field(
        2, ge=1, description="Downloads that one caller may have going on."
    )
    trace_chats: list[str] = Field(
        default_factory=list,
        description="Agents or pipelines whose answers are traced on this machine, with what was "
        "said; none by default. `erase` removes an elder's traces.",
    )
    public_url: Annotated[str, AfterValidator(_origin)] | None = Field(
        None,
        description="Where clients reach the API, such as https://agents.example.com: agent cards "
        "name it. None: as the request for the card named it.",
    )
    model_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,32}$",
        description="Before every `model_name`, such as afs_elder_ for clients of ModelServer; "
        "callers may write it or leave it out.",
    )
    rows_seconds: float = Field(
        120.0, gt=0, description="Longest wait of `/export-jsonl` for rows that are made for it."
    )
    max_body_bytes: int = Field(1_000_000, ge=1000, description="Longest body of a request.")
    connections: ConnectionLimits = ConnectionLimits()
    proxies: list[Network] = Field(
        default_factory=list,
        description="Proxies in front, such as 127.0.0.1 or 10.0.0.0/8: `X-Forwarded-For` is read "
        "where one of them passes a request on, for the limits by address. None by default.",
    )
    cors_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(
        default_factory=list,
        description="Web pages that may call, such as https://app.example.com; none by default.",
    )


def load_serving(path: Path | None = None) -> ServingConfig:
    """Read the settings; a missing file means the defaults.

    Args:
        path: of the file; None takes defs/serving.yaml of the project.

    Raises:
        ConfigError: the file is not YAML, or names what does not exist.
    """
    project = load_settings().project
    if path is None and project is not None:
        path = project.defs / "serving.yaml"
    return read_yaml(ServingConfig, path) if path and path.is_file() else ServingConfig()
