"""What a teacher is asked, and the tools it is answered with: what everything that makes or checks
examples shares.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from agent_assets.conversations.items import ItemKind
from agent_assets.conversations.messages import ToolCall, ToolResult, ToolSchema
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.tasks.script import Script

OWN: Final = "own"  # a row of somebody's own: no teacher was asked
TaskKind: TypeAlias = ItemKind | Literal["own"]


class Tools(Protocol):
    """What rows are made with: a toolbox that knows which of its tools only read."""

    annotations: dict[str, dict[str, bool]]

    async def call(self, call: ToolCall) -> ToolResult:
        """Execute a call."""
        ...


@dataclass(frozen=True)
class Task:
    """One question as it is asked.

    Args:
        question: with its final text and gold calls.
        kind: what it trains or tests.
        system: system prompt, "" for none.
        tools: what is offered; empty for closed-book questions.
        script: what the scripted teacher does.
        memory_ids: memories a right answer rests on. With tools, their results must hold them.
        needs_result: an empty result is a rejection.
        source_text: text the answer may rest on besides results and question.
    """

    question: Question
    kind: TaskKind
    system: str
    tools: tuple[ToolSchema, ...]
    script: Script
    memory_ids: tuple[str, ...] = ()
    needs_result: bool = False
    source_text: str = ""
