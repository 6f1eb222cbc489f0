"""How a language model is asked. Where it is, and its key, come from the environment (settings.py),
never from YAML.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent_assets.conversations.messages import JsonObject
from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel

TeacherChoice = Literal["auto", "scripted", "llm"]


class LlmConfig(StrictModel):
    """Settings of every request, and where asking ends: how long we wait and how much we spend
    changes no answer.
    """

    temperature: float | None = Field(
        0.7, ge=0, le=2, description="None sends none: some models refuse it."
    )
    seed: int | None = Field(42, description="For servers that sample by seed; None sends none.")
    max_tokens: int = Field(4096, ge=16, description="Most tokens of one answer.")
    tokens_parameter: Annotated[
        Literal["max_tokens", "max_completion_tokens"], NOT_IN_FINGERPRINT
    ] = Field(
        "max_tokens",
        description="What the server calls it: newer OpenAI models want `max_completion_tokens`.",
    )
    extra_body: dict[str, object] = Field(
        {}, description="More fields for every request, as the server wants them."
    )
    timeout_s: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        120.0, gt=0, description="Longest wait for one try."
    )
    give_up_s: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        600.0, ge=0, description="Longest wait for one answer, all tries and pauses together."
    )
    json_attempts: Annotated[int, NOT_IN_FINGERPRINT] = Field(
        3, ge=1, description="How often a JSON answer that does not fit is asked for again."
    )
    concurrency: Annotated[int, NOT_IN_FINGERPRINT] = Field(
        8, ge=1, description="Requests under way at the same time when questions are made."
    )
    max_requests: Annotated[int | None, NOT_IN_FINGERPRINT] = Field(
        20_000, ge=1, description="Spend cap of one materialization; None: no cap."
    )
    max_total_tokens: Annotated[int | None, NOT_IN_FINGERPRINT] = Field(
        50_000_000, ge=1, description="Spend cap, tokens read and written."
    )
    max_cost: Annotated[float | None, NOT_IN_FINGERPRINT] = Field(
        None, gt=0, description="Spend cap in the currency of the prices; needs both."
    )
    price_read: Annotated[float | None, NOT_IN_FINGERPRINT] = Field(
        None, ge=0, description="Price of a million tokens read."
    )
    price_written: Annotated[float | None, NOT_IN_FINGERPRINT] = Field(
        None, ge=0, description="Price of a million tokens written."
    )
    on_model_change: Annotated[Literal["error", "record"], NOT_IN_FINGERPRINT] = Field(
        "error",
        description="What happens when another model answers than the one that was asked, or "
        "began.",
    )

    @model_validator(mode="after")
    def _a_cost_needs_prices(self) -> Self:
        if self.max_cost is not None and (self.price_read is None or self.price_written is None):
            raise ValueError("max_cost needs price_read and price_written")
        return self

    def request_settings(self, model: str) -> JsonObject:
        """The fields of every request besides the prompt."""
        settings: JsonObject = {"model": model, self.tokens_parameter: self.max_tokens}
        settings |= {
            name: value
            for name in ("temperature", "seed")
            if (value := getattr(self, name)) is not None
        }
        return settings | self.extra_body
