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
    known = {memory.memory_id: memory.answered_by for memory in memories}
    people = set(known.values())

    def resolve(turn: ExamTurn, name: str) -> str:
        names = [name]
        for person in people:
            names += question_memory_ids(elder_id, name, person)
        memory_id = next((candidate for candidate in names if candidate in known), None)
        if memory_id is None:
            raise ExamError(
                f"Turn {turn.id!r} rests on {name!r}, which is none of the {len(known)} memories "
                f"of {elder_id or 'this agent'}.",
                next_step="name a memory by the id that answers cite ([m-...]), or by the id of "
                "the question it answers.",
            )
        return memory_id

    return {turn.id: [resolve(turn, name) for name in turn.evidence] for turn in turns}
