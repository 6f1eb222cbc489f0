"""Settings of the stages `questions` and `train_jsonl`. Defaults keep training on a CPU
affordable.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from agent_assets.llm.config import TeacherChoice
from agent_assets.strict_model import (
    IN_FINGERPRINT_IF_SET,
    NOT_IN_FINGERPRINT,
    LanguageKey,
    NotInFingerprint,
    StrictModel,
)

# Raised by hand when a prompt of llm_teacher or llm_questions changes, or how their answers are
# read: part of every fingerprint of theirs. Answers are kept, so reading them anew costs nothing.
TEACHER_PROMPTS = "2"


class QuestionsConfig(StrictModel):
    """What is asked, how much of it, and what is held out."""

    # Who teaches in the end enters fingerprints instead (`teacher_identity`).
    teacher: Annotated[TeacherChoice, NOT_IN_FINGERPRINT] = Field(
        "auto",
        description="`scripted`, `llm`, or `auto`: a language model where OPENAI_API_KEY is set.",
    )
    wordings: str | None = Field(
        None,
        description="YAML file with question and answer wordings, beside defs.yaml. Tools "
        "without wordings there are "
        "asked about in words made from their schema.",
    )
    languages: list[LanguageKey] = Field(
        ["en"], min_length=1, description="Languages to ask in, by their ISO 639 codes."
    )
    per_tool: int = Field(
        60, ge=1, description="Training questions per tool with arguments and language."
    )
    per_tool_without_arguments: int = Field(
        12,
        ge=1,
        description="Training questions per tool without arguments and language; at most one per "
        "wording.",
    )
    heldout_per_tool: int = Field(
        16,
        ge=0,
        description="Held-out questions per tool with arguments and language, of each kind of "
        "wording.",
    )
    heldout_per_tool_without_arguments: int = Field(
        4,
        ge=0,
        description="Held-out questions per tool without arguments and language (unseen wordings "
        "only).",
    )
    unseen_share: float = Field(
        0.25, gt=0, lt=1, description="Share of the wordings that only held-out items use."
    )
    heldout_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of a language model's questions that are held out, by the hash of each.",
    )
    multi_tool: int = Field(
        10, ge=0, description="A language model's questions per language that need several tools."
    )
    unanswerable: int = Field(
        12, ge=0, description="Its questions per language that no tool can answer."
    )
    batch: int = Field(10, ge=1, description="Questions it is asked for at a time.")
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Questions of a language model whose character trigrams are this similar "
        "(Jaccard), and whose numbers are equal, are one.",
    )
    source_file: str | None = Field(
        None,
        description="A text beside defs.yaml that tells a language model about the domain, such "
        "as the server's code.",
    )
    resources: bool = Field(
        False, description="Show it the text resources of the MCP servers, too."
    )
    questionnaire: bool = Field(
        False,
        description="Elders are also asked what is in the questions collection of MongoDB: "
        "those who never "
        "answered a question learn to say so.",
    )
    seed: int = Field(42, description="Seed of what is asked.")


class MixConfig(StrictModel):
    """Shares of an elder's training examples. What there is too much of is left out; nothing is
    repeated.
    """

    persona: float = Field(0.5, ge=0, le=1, description="Memories told, looked up or not.")
    tools: float = Field(0.3, ge=0, le=1, description="Other tool calls.")
    abstention: float = Field(0.1, ge=0, le=1, description="What was never told.")
    general: float = Field(
        0.1, ge=0, le=1, description="General questions, replayed so that they are not unlearned."
    )
    tolerance: float = Field(
        0.05, gt=0, le=1, description="Farther from a share, the check `mix` fails."
    )
    general_rows: str | None = Field(
        None,
        description="JSONL of conversations beside defs.yaml, in any of the three row formats; "
        "None takes ours.",
    )

    @model_validator(mode="after")
    def _shares_are_a_whole(self) -> Self:
        total = sum(self.shares().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"the shares persona, tools, abstention and general make {total:g}, not 1"
            )
        return self

    def shares(self) -> dict[str, float]:
        """Share by part."""
        return {name: getattr(self, name) for name in ("persona", "tools", "abstention", "general")}


class ColumnsConfig(StrictModel):
    """Which columns of a table hold what."""

    question: str = Field(description="Column with the question.")
    answer: str = Field(description="Column with the answer to learn.")
    system: str | None = Field(None, description="Column with the system prompt, if there is one.")


class RowsConfig(StrictModel):
    """How questions become rows, and rows of your own."""

    sources: Annotated[list[str], IN_FINGERPRINT_IF_SET] = Field(
        [],
        description="Files of rows of your own beside defs.yaml: JSONL in any of the three row "
        "formats, and with `columns` tables (CSV, TSV, Parquet, JSONL).",
    )
    columns: Annotated[ColumnsConfig | None, IN_FINGERPRINT_IF_SET] = Field(
        None, description="Columns of those tables, as in {question: q, answer: a}."
    )
    made_rows: Annotated[bool, IN_FINGERPRINT_IF_SET] = Field(
        True, description="Whether the teacher makes rows; false trains on `sources` alone."
    )
    sources_heldout_share: Annotated[float, IN_FINGERPRINT_IF_SET] = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the rows of `sources` that are held out, by the hash of their calls: "
        "of those with one question and calls.",
    )

    # Who teaches in the end enters fingerprints instead (`teacher_identity`).
    teacher: Annotated[TeacherChoice, NOT_IN_FINGERPRINT] = Field(
        "auto",
        description="`scripted`, `llm`, or `auto`: a language model where OPENAI_API_KEY is set.",
    )
    mix: MixConfig | None = Field(
        None, description="Shares of an elder's rows; None takes all that were made."
    )
    read_only_tools: list[str] = Field(
        [], description="As `tools.read_only`, which is their place now; both lists count."
    )
    allow_writing: list[str] = Field(
        [], description="As `tools.allow_writing`, which is their place now; both lists count."
    )
    banned: list[str] = Field(
        [], description="Regular expressions; an example in which one occurs is rejected."
    )
    min_calls_per_tool: int = Field(
        1,
        ge=0,
        description="Coverage floor: fewer training calls of a tool fail the check `coverage`.",
    )
    keep_reasoning: Annotated[bool, NotInFingerprint(unless=("keep_reasoning", True))] = Field(
        False,
        description="Rows hold what a language model that thinks thought before each message, "
        "between <think> tags. No check but the lengths and `banned` reads it.",
    )
    min_own_words: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least share of the words of a language model's answer that its memories hold.",
    )
    max_question_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of all teacher turns of one question, as its server counts them.",
    )

    exchanges_per_row: int = Field(
        4,
        ge=1,
        description="Independent examples packed into one row: they share the cost of the tool "
        "list.",
    )
    max_row_tokens: int = Field(
        1400,
        ge=64,
        description="Approximate tokens of one row without its tool list; longer examples are "
        "rejected.",
    )
    replay: bool = Field(
        True, description="Call read-only tools twice and reject rows whose second result differs."
    )
    min_rows: int = Field(1, ge=1, description="Fewer rows are an error.")
    concurrency: int = Field(8, ge=1, description="Questions worked on at the same time.")
    max_turns: int = Field(4, ge=1, description="Teacher turns per question.")
    max_tool_calls: int = Field(8, ge=1, description="Tool calls per question.")
    question_seconds: float = Field(
        60.0,
        gt=0,
        description="Wall-clock limit per question, without waiting for a language model "
        "(llm.give_up_s).",
    )
    min_memories: int = Field(
        1, ge=1, description="An elder with fewer usable memories is an error."
    )
    open_per_memory: int = Field(
        2, ge=0, description="Training questions per memory, asked with tools."
    )
    closed_per_memory: int = Field(
        3, ge=0, description="Training questions per memory, asked without tools."
    )
    open_heldout_share: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the memories that training never looks up: they test looking up.",
    )
    never_told_repeats: int = Field(
        3, ge=0, description="Wordings per training question that was never told."
    )
    questionnaire_questions: int = Field(
        12,
        ge=0,
        description="Most unanswered questions of the questionnaire per elder, asked as never "
        "told.",
    )
    memory_tool_questions: int = Field(
        16,
        ge=0,
        description="Training questions per memory tool other than search, from the elder's own "
        "memories.",
    )
    heldout_memory_tool_questions: int = Field(
        4, ge=0, description="The same, held out, of each kind of wording."
    )
    heldout_recall: int = Field(
        24, ge=0, description="Most held-out items of each kind of recall, and of abstention."
    )
    max_answer_words: int = Field(
        40, ge=5, description="Most words in which a memory is told (doubled for Chinese)."
    )
    seed: int = Field(42, description="Seed of which memories, questions and words become rows.")

    @model_validator(mode="after")
    def _there_are_rows(self) -> Self:
        if not self.sources and not self.made_rows:
            raise ValueError("made_rows is false, and there are no sources: name files in sources")
        if self.mix is not None and not self.made_rows:
            raise ValueError("a mix is one of made rows, and made_rows is false: leave mix out")
        return self
