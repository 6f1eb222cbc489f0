"""What asking a language model costs: counted as it happens, capped, summed up for the asset's
metadata.
"""

from collections import Counter
from dataclasses import dataclass, field

from agent_assets.conversations.messages import Usage
from agent_assets.errors import LlmSpendCap
from agent_assets.llm.config import LlmConfig

MILLION = 1_000_000


@dataclass
class Spending:
    """Counts of one materialization. A cap is looked at before a request: those under way may pass
    it by their size.

    Args:
        requests: tries sent, failed ones included.
        retries: tries after the first of an answer.
        paid: tokens of answers that were asked for now.
        used: tokens of all answers that were used, those from the cache included.
        cached: answers from the cache.
        estimated: answers whose server counted no tokens: three characters were taken for one.
        models: answers by the name of the model that gave them.
    """

    config: LlmConfig
    requests: int = 0
    retries: int = 0
    paid: Usage = field(default_factory=lambda: Usage(0, 0))
    used: Usage = field(default_factory=lambda: Usage(0, 0))
    cached: int = 0
    estimated: int = 0
    models: Counter[str] = field(default_factory=Counter)

    def begin_request(self) -> None:
        """Count a try.

        Raises:
            LlmSpendCap: a cap is reached.
        """
        tokens, cost = _total(self.paid), self.cost(self.paid)
        caps = (
            ("max_requests", self.requests, self.config.max_requests),
            ("max_total_tokens", tokens, self.config.max_total_tokens),
            ("max_cost", cost, self.config.max_cost),
        )
        for name, spent, cap in caps:
            if cap is not None and spent is not None and spent >= cap:
                raise LlmSpendCap(
                    f"The spend cap llm.{name} ({cap:g}) is reached: {self.requests} requests, "
                    f"{tokens} tokens.",
                    next_step="materialize again to go on where this stopped (every answer is "
                    "kept), or raise "
                    f"llm.{name} in defs.yaml.",
                )
        self.requests += 1

    def cost(self, usage: Usage) -> float | None:
        """Price of tokens; None without prices."""
        if self.config.price_read is None or self.config.price_written is None:
            return None
        read, written = usage.prompt_tokens, usage.completion_tokens
        return (read * self.config.price_read + written * self.config.price_written) / MILLION

    def summary(self) -> dict[str, object]:
        """For metadata. `*_now` were paid in this materialization; the others made the artifact,
        whenever paid.
        """
        totals: dict[str, object] = {
            "models": dict(sorted(self.models.items())),
            "answers": sum(self.models.values()),
            "answers_cached": self.cached,
            "tokens_read": self.used.prompt_tokens,
            "tokens_written": self.used.completion_tokens,
            "requests_now": self.requests,
            "retries_now": self.retries,
            "tokens_now": _total(self.paid),
            "answers_estimated": self.estimated,
        }
        cost, now = self.cost(self.used), self.cost(self.paid)
        return (
            totals
            if cost is None or now is None
            else totals | {"cost": round(cost, 6), "cost_now": round(now, 6)}
        )


def _total(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
