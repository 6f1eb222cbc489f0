"""Memories as cards: in the elder's own words, with who told them and when."""

from collections.abc import Iterable
from typing import Any

from agent_assets.conversations.memories import (
    ElderProfile,
    Memory,
    read_memories,
    read_profile,
)
from agent_assets.serving.answering import Answer
from agent_assets.serving.context import Services
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.webapp.words import Words
from agent_assets.text.answers import says_never_told

_STARTERS = 3
_SHORT_QUESTION = 60  # characters


def memories_of(
    serving: Services, released: ReleasedAgent
) -> tuple[ElderProfile, list[Memory]] | None:
    """Who a released elder is and what they told; None for an agent without memories. It blocks."""
    if "memories" not in released.candidate.parts:
        return None
    folder = serving.released.part(released, "memories").path
    return read_profile(folder), read_memories(folder)


def starters(memories: Iterable[Memory]) -> list[str]:
    """Short questions to begin with, spread over the topics."""
    by_topic: dict[str, str] = {}
    for memory in memories:
        if 0 < len(memory.question) <= _SHORT_QUESTION:
            by_topic.setdefault(memory.category, memory.question)
    return list(by_topic.values())[:_STARTERS]


def answer_cards(
    serving: Services, released: ReleasedAgent, answer: Answer, words: Words
) -> dict[str, Any]:
    """What the page shows of an answer.

    `never_told` is true where the answer says that nobody told it; `unfounded` where an elder
    states something and cites no memory. It blocks.
    """
    told = memories_of(serving, released)
    shown: dict[str, Any] = {
        "response": answer.text,
        "model_name": answer.model,
        "stop_reason": answer.stop_reason,
        "memories": [],
        "never_told": False,
        "unfounded": False,
    }
    if told is None:
        return shown
    profile, memories = told
    by_id = {memory.memory_id: memory for memory in memories}
    cited = [by_id[number] for number in _in_order(answer) if number in by_id]
    abstains = says_never_told(answer.text, profile.language)
    return shown | {
        "memories": [memory_card(memory, profile, words) for memory in cited],
        "never_told": bool(abstains) and not cited,
        "unfounded": abstains is False and not cited and bool(answer.text),
    }


def memory_card(memory: Memory, profile: ElderProfile, words: Words) -> dict[str, str]:
    """One memory."""
    return {
        "id": memory.memory_id,
        "asked": words("memory.asked", question=memory.question) if memory.question else "",
        "answer": memory.answer,
        "told_by": words_of_teller(memory, profile.name, words),
        "date": words.date(memory.created_at) or words("memory.no_date"),
    }


def words_of_teller(memory: Memory, name: str, words: Words) -> str:
    """Who told a memory, as the source says."""
    key = f"memory.{memory.relationship}"
    return words(key if words.has(key) else "memory.someone", name=name)


def _in_order(answer: Answer) -> list[str]:
    """Ids of the memories an answer cites, as they occur in it."""
    return sorted(answer.memory_ids, key=answer.text.find)
