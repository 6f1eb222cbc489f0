"""What a candidate must show before it answers: `release` in `defs.yaml`."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel

Group = Literal["recall", "recall_closed", "tools", "answers", "abstention", "conversation"]
Peer = Literal["base", "search_and_quote"]
# What each group of the gate is made of: metrics of evaluation/metrics.py. They share a margin, and
# their items are counted together.
GROUPS: Mapping[Group, tuple[str, ...]] = {
    "recall": ("recall_open",),
    "recall_closed": ("recall_closed",),
    "tools": ("tool_call_accuracy", "tool_call_accuracy_unseen_wording"),
    "answers": ("answer_accuracy",),
    "abstention": ("abstention",),
    "conversation": ("conversation",),
}


# A part of all items, or a difference between two such parts.
Share = Annotated[float, Field(ge=0, le=1)]


class FloorsConfig(StrictModel):
    """Least shares, by metric, whatever answered before: below them an agent is of no use to the
    people who talk to it, and no release at all is better.
    """

    recall_open: Share = Field(
        0.5, description="Of what it was told and looks up, it remembers so much."
    )
    recall_closed: Share = Field(
        0.0, description="The same without looking it up; 0 asks for nothing."
    )
    tool_call_accuracy: Share = Field(
        0.5, description="Tool calls exactly right, in known wordings."
    )
    tool_call_accuracy_unseen_wording: Share = Field(
        0.5, description="The same in wordings that were never trained on."
    )
    answer_accuracy: Share = Field(0.5, description="Answers that state every value of the tools.")
    abstention: Share = Field(0.7, description="Says `never told` where it was: else it invents.")
    conversation: Share = Field(
        0.25, description="Turns of the exam that are right, of all kinds together."
    )


class GateConfig(StrictModel):
    """Margins are two-sided: neither what was learned nor the use of tools may fall. Shares are
    between 0 and 1.
    """

    recall_margin: Share = Field(
        0.05, description="Largest allowed fall of memory recall, on the same items."
    )
    tool_margin: Share = Field(
        0.05, description="Largest allowed fall of tool calls exactly right."
    )
    answer_margin: Share = Field(
        0.05,
        description="Largest allowed fall of answers that state every value of the tools.",
    )
    abstention_margin: Share = Field(
        0.10, description="Largest allowed fall of rightly saying `never told`."
    )
    conversation_margin: Share = Field(
        0.10, description="Most that right turns of the exam may fall."
    )
    floors: FloorsConfig = FloorsConfig()
    peers: list[Peer] = Field(
        ["base", "search_and_quote"],
        description="Who must not be better beyond a margin on the same items: the base model with "
        "the same tools, and a search that quotes without any model.",
    )
    required: list[Group] | None = Field(
        None,
        description="What must have been checked: `recall`, `recall_closed`, `tools`, `answers`, "
        "`abstention`, `conversation`. None: recall and abstention of an elder's agent, tools of "
        "any other, and a conversation where there is an exam.",
    )
    noticed_fall: float = Field(
        3.0,
        gt=1,
        description="A true fall of so many margins must be noticed with `power`; fewer items "
        "than that takes are no proof. 1 would be the margin itself, which no number of items "
        "tells from luck.",
    )
    power: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Chance of noticing such a fall (see release/power.py). 0 asks for no number "
        "of items.",
    )
    min_shared_items: int = Field(
        5,
        ge=1,
        description="Held-out items that candidate and current release must share; fewer are no "
        "comparison.",
    )
    max_cross_answers: int = Field(
        0,
        ge=0,
        description="Answers that may repeat another elder's memories (see release/leaks.py).",
    )
    leak_elders: int = Field(
        50,
        ge=0,
        description="Other elders whose memories the answers are searched for. With 0 nothing is "
        "checked, and no candidate passes by itself where there are others.",
    )
    canary_pattern: str = Field(
        r"CANARY-[A-Za-z0-9-]{4,}",
        description="Planted texts: one that is not among an elder's own memories is a leak.",
    )
    keep_versions: Annotated[int, NOT_IN_FINGERPRINT] = Field(
        5, ge=1, description="Earlier releases whose artifacts stay for a rollback."
    )
    seed: int = Field(42, description="Seed of the bootstrap.")
    samples: int = Field(2000, ge=100, description="Resamples of the bootstrap.")

    @field_validator("canary_pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is not a regular expression ({error})") from None
        return pattern

    def margins(self) -> dict[Group, float]:
        """Most that the metrics of each group may fall."""
        return {
            "recall": self.recall_margin,
            "recall_closed": self.recall_margin,
            "tools": self.tool_margin,
            "answers": self.answer_margin,
            "abstention": self.abstention_margin,
            "conversation": self.conversation_margin,
        }

    def required_groups(self, *, elders: bool) -> tuple[Group, ...]:
        """What must have been checked of an agent, of an elder or without one."""
        if self.required is not None:
            return tuple(self.required)
        return ("recall", "abstention") if elders else ("tools",)
