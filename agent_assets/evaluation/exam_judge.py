"""Is an answer to a turn of an exam right? Without a language model: equal answers, equal verdicts.

| kind | right is |
|---|---|
| told, follow_up | no refusal, and holds an expected text; where none is given, tells of a memory of the evidence and states nothing that stands in none of it |
| compound | the same for each of its parts |
| broad | no refusal, tells of two memories of the evidence (of all, if there are fewer), repeats and cites no other memory, states nothing that stands in none of the evidence |
| social | short, no refusal, repeats and cites no memory, lists no topics; holds an expected text where one is given |
| never | says that it was never told, repeats no memory before that, and states nothing that stands nowhere |

- *Refusal*: how the language says that something was never told (text/languages), outside of
  sentences that stand in a memory word for word: who told "I never told my mother" does not refuse.
- *Holds*: as whole words, numbers and days in any notation of the language, letter case ignored.
- *Tells of a memory*: 60% of its content, or five words of it in a row (eight characters in scripts
  without spaces) that were not said before in the conversation.
- *States nothing*: numbers, days, names and memory ids, see text/grounding.py.
- Whoever repeats more than two memories beside the evidence lists memories, and does not answer.

Where nobody listed how a language refuses, `never` has no verdict (None).
"""  # noqa: E501

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_assets.conversations.exam import ExamTurn
from agent_assets.conversations.memories import Memory
from agent_assets.text.answers import cited_ids, recall_share, says_never_told, states_value
from agent_assets.text.grounding import Evidence, normal, not_grounded
from agent_assets.text.languages.rules import rules_for
from agent_assets.text.shared_runs import runs_of_words

WORDS, CHARACTERS = 5, 8
TOLD_SHARE = 0.6
MAX_OTHERS = 2  # memories beside the evidence that an answer may repeat
MAX_SOCIAL_LENGTH = 40.0  # words
_MIN_TOPICS = 3  # so many topics are a list of them


@dataclass(frozen=True)
class Person:
    """Whom the exam is about: what was told, and in which language.

    Args:
        memories: everything that was told, by memory id.
        said_before: what the agent is told besides (its system prompt): nothing it could invent.
    """

    language: str
    memories: Mapping[str, Memory]
    said_before: str = ""


@dataclass(frozen=True)
class Judgement:
    """Whether an answer is right, and if not, why, in words; None where nobody can say."""

    right: bool | None
    why: str = ""


def judge_turn(turn: ExamTurn, answer: str, evidence: Sequence[str], person: Person) -> Judgement:
    """The verdict on the answer to one turn.

    Args:
        answer: the final text.
        evidence: memory ids that answer the turn, in the order of `turn.evidence`.
        person: everything that was told.
    """
    return _Judge(
        turn, " ".join(answer.split()), [person.memories[name] for name in evidence], person
    )()


class _Judge:
    """One answer, and what it repeats."""

    def __init__(
        self, turn: ExamTurn, answer: str, evidence: Sequence[Memory], person: Person
    ) -> None:
        self.turn, self.answer, self.evidence, self.person = turn, answer, evidence, person
        self.language = person.language
        self.before = [
            turn.question,
            *(message.content for message in turn.history),
            person.said_before,
        ]
        self.cited = cited_ids(answer, person.memories)
        known = set().union(*map(_runs, [*self.before, *(memory.answer for memory in evidence)]))
        self.others = [
            memory
            for name, memory in person.memories.items()
            if memory not in evidence and self.repeats(memory, answer, known)
        ]

    def __call__(self) -> Judgement:
        if not self.answer:
            return Judgement(False, "there is no answer")
        if self.turn.kind == "never":
            return self.never()
        if self.refusal() is not None:
            return Judgement(False, "it says that it was never told")
        if self.turn.kind == "social":
            return self.social()
        if len(self.others) > MAX_OTHERS:
            return Judgement(False, f"it lists {len(self.others)} other memories")
        return self.broad() if self.turn.kind == "broad" else self.told()

    def told(self) -> Judgement:
        """Of each part an expected text, or else a memory in its own words."""
        if self.turn.groups:
            missing = [group for group in self.turn.groups if not self.holds(group)]
            return Judgement(not missing, "" if not missing else "an expected text is not there")
        told_each = [self.tells(memory) for memory in self.evidence]
        if not (all(told_each) if self.turn.kind == "compound" else any(told_each)):
            return Judgement(False, "it does not tell of the memory that answers")
        return self.states_nothing_else(self.evidence)

    def broad(self) -> Judgement:
        """Several memories, and nothing else."""
        groups = self.turn.groups or ((),) * len(self.evidence)
        if self.evidence:
            covered = [
                self.holds(group) or self.tells(memory)
                for group, memory in zip(groups, self.evidence, strict=True)
            ]
        else:
            covered = [self.holds(group) for group in groups]
        if sum(covered) < min(2, len(covered)):
            return Judgement(False, f"it tells of {sum(covered)} of {len(covered)} memories")
        beside = self.cited - {memory.memory_id for memory in self.evidence}
        if self.evidence and (self.others or beside):
            return Judgement(False, "it tells of a memory that does not belong here")
        return self.states_nothing_else(self.evidence) if self.evidence else Judgement(True)

    def social(self) -> Judgement:
        """A short reply that is no memory."""
        if rules_for(self.language).length(self.answer) > MAX_SOCIAL_LENGTH:
            return Judgement(False, "it is too long")
        if self.others or self.cited:
            return Judgement(False, "it tells of a memory that nobody asked for")
        topics = {memory.category for memory in self.person.memories.values()} - {""}
        if sum(states_value(topic, self.answer, self.language) for topic in topics) >= _MIN_TOPICS:
            return Judgement(False, "it lists topics")
        if normal(self.answer, self.language) == normal(self.turn.question, self.language):
            return Judgement(False, "it repeats what was said")
        missing = [group for group in self.turn.groups if not self.holds(group)]
        return Judgement(not missing, "" if not missing else "an expected text is not there")

    def never(self) -> Judgement:
        """A refusal before anything else."""
        if says_never_told("", self.language) is None:
            return Judgement(None, "nobody listed how this language says so")
        refusal = self.refusal()
        if refusal is None:
            return Judgement(False, "it does not say that it was never told")
        before = self.answer[: self.answer.index(refusal)]
        known = set().union(*map(_runs, self.before))
        if any(self.repeats(memory, before, known) for memory in self.person.memories.values()):
            return Judgement(False, "it answers with a memory")
        return self.states_nothing_else(list(self.person.memories.values()))

    def refusal(self) -> str | None:
        """The first sentence that refuses, and is not one of a memory's own."""
        texts = [_plain(memory.answer, self.language) for memory in self.person.memories.values()]
        for sentence in rules_for(self.language).sentences(self.answer):
            plain = _plain(sentence, self.language)
            if says_never_told(sentence, self.language) and not any(plain in own for own in texts):
                return sentence
        return None

    def holds(self, group: Sequence[str]) -> bool:
        """Whether one of the texts stands in the answer."""
        return any(states_value(text, self.answer, self.language) for text in group)

    def tells(self, memory: Memory) -> bool:
        """Whether the answer tells of a memory."""
        share = recall_share(memory.answer, self.turn.question, self.answer, self.language)
        known = set().union(*map(_runs, self.before))
        return share >= TOLD_SHARE or self.repeats(memory, self.answer, known)

    def repeats(self, memory: Memory, text: str, known: set[str]) -> bool:
        """Whether a text repeats words of a memory that were not said before; a short memory, all
        of them.
        """
        runs = _runs(memory.answer)
        if runs:
            return not (runs & _runs(text)) <= known
        own = _plain(memory.answer, self.language)
        before = any(own in _plain(earlier, self.language) for earlier in self.before)
        return bool(own) and not before and own in _plain(text, self.language)

    def states_nothing_else(self, memories: Sequence[Memory]) -> Judgement:
        """Whether all that can be compared stands in these memories, or was said before."""
        sources = [text for memory in memories for text in (memory.question, memory.answer)]
        ids = frozenset(memory.memory_id for memory in memories)
        rest = Evidence(sources, self.before, ids)
        invented = not_grounded(self.answer, rest, self.language)
        return Judgement(not invented, "; ".join(invented).replace("in no result", "in no memory"))


def _runs(text: str) -> set[str]:
    return runs_of_words(text, words=WORDS, characters=CHARACTERS)


def _plain(text: str, language: str) -> str:
    return "".join(filter(str.isalnum, normal(text, language).casefold()))
