"""Settings of the stages `questions` and `train_jsonl`. Defaults keep training on a CPU affordable."""

from typing import Literal

from pydantic import Field

from agent_assets.strict_model import StrictModel

Language = Literal["en", "zh"]


class QuestionsConfig(StrictModel):
    """What is asked, how much of it, and what is held out."""

    wordings: str | None = Field(
        None,
        description="YAML file with question and answer wordings, beside defs.yaml. Tools without wordings there are "
        "asked about in words made from their schema.",
    )
    languages: list[Language] = Field(["en"], min_length=1, description="Languages to ask in.")
    per_tool: int = Field(60, ge=1, description="Training questions per tool with arguments and language.")
    per_tool_without_arguments: int = Field(
        12, ge=1, description="Training questions per tool without arguments and language; at most one per wording."
    )
    heldout_per_tool: int = Field(
        16, ge=0, description="Held-out questions per tool with arguments and language, of each kind of wording."
    )
    heldout_per_tool_without_arguments: int = Field(
        4, ge=0, description="Held-out questions per tool without arguments and language (unseen wordings only)."
    )
    unseen_share: float = Field(0.25, gt=0, lt=1, description="Share of the wordings that only held-out items use.")
    seed: int = 42


class RowsConfig(StrictModel):
    """How questions become rows."""

    exchanges_per_row: int = Field(
        4, ge=1, description="Independent exchanges packed into one row: they share the cost of the tool list."
    )
    max_row_tokens: int = Field(
        1400, ge=64, description="Approximate tokens of one row without its tool list; longer exchanges are rejected."
    )
    replay: bool = Field(True, description="Call read-only tools twice and reject rows whose second result differs.")
    min_rows: int = Field(1, ge=1, description="Fewer rows are an error.")
    concurrency: int = Field(8, ge=1, description="Questions worked on at the same time.")
    max_turns: int = Field(4, ge=1, description="Teacher turns per question.")
    max_tool_calls: int = Field(8, ge=1, description="Tool calls per question.")
    question_seconds: float = Field(60.0, gt=0, description="Wall-clock limit per question.")
    min_memories: int = Field(1, ge=1, description="An elder with fewer usable memories is an error.")
    open_per_memory: int = Field(2, ge=0, description="Training questions per memory, asked with tools.")
    closed_per_memory: int = Field(3, ge=0, description="Training questions per memory, asked without tools.")
    open_heldout_share: float = Field(
        0.25, ge=0, lt=1, description="Share of the memories that training never looks up: they test looking up."
    )
    never_told_repeats: int = Field(3, ge=0, description="Wordings per training question that was never told.")
    memory_tool_questions: int = Field(
        16, ge=0, description="Training questions per memory tool other than search, from the elder's own memories."
    )
    heldout_memory_tool_questions: int = Field(4, ge=0, description="The same, held out, of each kind of wording.")
    heldout_recall: int = Field(24, ge=0, description="Most held-out items of each kind of recall, and of abstention.")
    max_answer_words: int = Field(40, ge=5, description="A memory is told in at most so many words (Chinese: doubled).")
    seed: int = 42
