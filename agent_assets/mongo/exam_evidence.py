"""Which memories the evidence of an exam names: by memory id, or by the id of the question."""

from collections.abc import Iterable

from agent_assets.conversations.exam import ExamTurn
from agent_assets.conversations.memories import Memory
from agent_assets.errors import ExamError
from agent_assets.mongo.answers import question_memory_ids


def evidence_ids(
    turns: Iterable[ExamTurn], elder_id: str, memories: Iterable[Memory]
) -> dict[str, list[str]]:
    """Memory ids of the evidence, by turn.

    Raises:
        ExamError: this elder has no such memory.
    """
    turns, memories = list(turns), list(memories)
    evidence = find_evidence(turns, elder_id, memories)
    for turn in turns:
        if turn.id not in evidence:
            raise ExamError(
                f"Turn {turn.id!r} rests on {', '.join(turn.evidence)}: not all of these are among "
                f"the {len(memories)} memories of {elder_id or 'this agent'}.",
                next_step="name a memory by the id that answers cite ([m-...]), or by the id of "
                "the question it answers.",
            )
    return evidence


def find_evidence(
    turns: Iterable[ExamTurn], elder_id: str, memories: Iterable[Memory]
) -> dict[str, list[str]]:
    """Memory ids of the evidence, by turn; without the turns that rest on what is not there."""
    known = {memory.memory_id: memory.answered_by for memory in memories}
    people = set(known.values())

    def find(name: str) -> str | None:
        names = [name]
        for person in people:
            names += question_memory_ids(elder_id, name, person)
        return next((candidate for candidate in names if candidate in known), None)

    evidence = {turn.id: [find(name) for name in turn.evidence] for turn in turns}
    return {
        turn_id: [name for name in names if name is not None]
        for turn_id, names in evidence.items()
        if None not in names
    }
