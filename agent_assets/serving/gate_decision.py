"""What the gate decided about a new version, as a person reads it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

Decision = Literal["PROMOTE", "HOLD", "REJECT"]


class GateDecision(BaseModel):
    """The verdict on a version. `answers_now` names what answers since; None: nobody does."""

    decision: Decision
    reasons: list[str]
    answers_now: str | None

    def in_words(self) -> str:
        """The verdict as sentences."""
        if self.decision == "PROMOTE":
            return f"The new version answers from now on ({self.answers_now})."
        as_before = (
            "Nobody answers yet."
            if self.answers_now is None
            else f"{self.answers_now} answers as before."
        )
        return f"{held_back(self.decision, self.reasons)} {as_before}"


def held_back(decision: Decision, reasons: Sequence[str]) -> str:
    """Why a version does not answer."""
    what = "rejected" if decision == "REJECT" else "held back"
    return f"The gate {what} the new version: {'; '.join(reasons)}."
