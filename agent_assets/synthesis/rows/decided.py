"""What reviewers decided about examples: a rejected turn is no row, an edited one says what they
wrote.
"""

from dataclasses import replace

from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.reviews.decisions import Decisions, content_id
from agent_assets.synthesis.rows.example import Example

NO_DECISIONS: Decisions = {}
_WHY = (Rejection(RejectReason.REVIEWED, "a reviewer marked it as wrong"),)


def reviewed(example: Example, decisions: Decisions) -> Example:
    """The example as reviewers want it."""
    if not decisions or example.rejections or not example.answer:
        return example
    *before, last = example.messages
    number = content_id(example.task.question.text, example.answer)
    if number not in decisions:
        return example
    edited = decisions[number]
    if edited is None:
        return replace(example, rejections=_WHY)
    return replace(example, messages=(*before, replace(last, content=edited)))
