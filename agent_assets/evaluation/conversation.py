"""Turns of an exam as items of an evaluation: asked like all others, judged by exam_judge.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_assets.conversations.exam import KINDS, ExamTurn
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import Message
from agent_assets.evaluation.exam_judge import Person, judge_turn
from agent_assets.evaluation.exam_result import expected_words

ALL = "conversation"
LABELS = {
    "told": "asked in other words",
    "broad": "broad questions",
    "follow_up": "follow-ups",
    "compound": "two questions in one",
    "social": "small talk",
    "never": "never told",
}
assert set(LABELS) == set(KINDS)


@dataclass(frozen=True)
class ConversationItem(EvalItem):
    """One turn of an exam about a person."""

    turn: ExamTurn = field(kw_only=True)
    person: Person = field(kw_only=True)

    @property
    def history(self) -> tuple[Message, ...]:
        """What was said before."""
        return tuple(Message(message.role, message.content) for message in self.turn.history)

    @property
    def primary_metric(self) -> str:
        """The metric of its kind."""
        return f"{ALL}_{self.turn.kind}"

    def score(self, answer: str) -> dict[str, float]:
        """Right or not, in all and by kind; nothing where nobody can say."""
        right = judge_turn(self.turn, answer, self.memory_ids, self.person).right
        return {} if right is None else dict.fromkeys((ALL, self.primary_metric), float(right))


def conversation_items(
    turns: Sequence[ExamTurn], evidence: Mapping[str, list[str]], person: Person, system: str
) -> list[ConversationItem]:
    """The turns of an exam whose evidence is known, in their order.

    Args:
        evidence: memory ids by turn; a turn without an entry is left out.
        system: the system prompt that the agent is asked under.
    """
    return [
        ConversationItem(
            id=f"exam-{turn.id}",
            kind="conversation",
            wording="unseen",
            language=person.language,
            question=turn.question,
            system=system,
            gold_answer=expected_words(turn, evidence[turn.id]),
            memory_ids=evidence[turn.id],
            turn=turn,
            person=person,
        )
        for turn in turns
        if turn.id in evidence
    ]
