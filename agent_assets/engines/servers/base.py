"""What is asked of an inference server: one model, adapters of it, an OpenAI-compatible API on
loopback.

`InferenceServer` holds everything in which servers differ. Another server is one file with a
class like `vllm.Vllm`, and one line in `choice.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent_assets.engines.environment import EngineEnv


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model, and how it is to be served.

    Args:
        folder: weights, tokenizer and `chat_template.jinja`, which it renders by.
        name: what requests ask for; adapters answer under their own names.
        max_model_len: context length in tokens.
        max_concurrency: sequences worked on at once.
        adapters: LoRA adapters by the name they answer under.
        max_loras: places for adapters that are loaded while it runs, besides those given.
        max_lora_rank: the highest rank of an adapter that is loaded while it runs.
        compiled: compile the model first: a slower start for faster answers.
        gpu_memory_utilization: share of the whole memory of the GPU. A CPU has no use for it.
        share: how many servers share the cores of this machine.
        tool_call_parser: what reads its tool calls; None takes the one that fits its template.
        templates_of_requests: requests may bring a chat template, which is a program. Never where
            strangers ask.
    """

    folder: Path
    name: str
    max_model_len: int
    max_concurrency: int = 16
    adapters: Mapping[str, Path] = field(default_factory=dict)
    max_loras: int = 0
    max_lora_rank: int = 8
    compiled: bool = False
    gpu_memory_utilization: float = 0.85
    share: int = 1
    tool_call_parser: str | None = None
    templates_of_requests: bool = False


@dataclass(frozen=True)
class ServerCommand:
    """How a server is started: a module of the engine environment, its arguments, further
    environment variables.
    """

    module: str
    arguments: list[str]
    environment: Mapping[str, str]


class InferenceServer(Protocol):
    """A kind of server. All methods but `command` speak to a running one; `base_url` ends in
    /v1.
    """

    @property
    def name(self) -> str:
        """What messages and manifests call it."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages of engine environments that hold it; the first that is there names its
        version.
        """
        ...

    @property
    def token_ids_body(self) -> Mapping[str, bool]:
        """Fields of a request that make it return the token ids it read and wrote: what is sampled
        is learned from.
        """
        ...

    def command(self, env: EngineEnv, model: ServedModel, *, host: str, port: int) -> ServerCommand:
        """The command that serves the model until it is stopped."""
        ...

    def is_over_length(self, message: str) -> bool:
        """Whether it refused a request (400) with this message because the conversation does not
        fit the context.
        """
        ...

    def load_adapter(self, base_url: str, name: str, folder: Path) -> None:
        """Make the adapter in `folder` answer under `name`. Never reuse a name: a server may cache
        what it answered.

        Raises:
            EngineFailed: the server refused, or does not answer.
        """
        ...

    def unload_adapter(self, base_url: str, name: str) -> None:
        """Forget an adapter.

        Raises:
            EngineFailed: the server refused, or does not answer.
        """
        ...
