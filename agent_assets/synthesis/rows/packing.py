"""Examples as rows of train.jsonl: several of them under one system prompt and one tool list."""

from collections.abc import Iterable, Sequence

from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.markers import conversation_without_markers
from agent_assets.conversations.messages import Conversation, JsonObject, Message, ToolSchema
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.rows.example import Example
from agent_assets.text.seeds import stable_hash


def pack_rows(examples: Iterable[Example], config: RowsConfig) -> list[JsonObject]:
    """Rows in the swift format, several examples each, in an order that mixes tools and depends on
    the seed alone.
    """
    shuffled = sorted(
        examples, key=lambda example: stable_hash("row", config.seed, example.task.question.id)
    )
    rows = []
    for kind in ("tools", "closed_book"):
        alike = [example for example in shuffled if bool(example.task.tools) is (kind == "tools")]
        for number, packed in enumerate(_packs(alike, config)):
            rows.append(packed_row(f"{kind}-{number:04d}", kind, packed))
    return sorted(rows, key=lambda row: stable_hash("order", config.seed, row["id"]))


def _packs(examples: Sequence[Example], config: RowsConfig) -> list[list[Example]]:
    packs: list[list[Example]] = []
    size = 0
    for example in examples:
        if (
            not packs
            or len(packs[-1]) == config.exchanges_per_row
            or size + example.tokens > config.max_row_tokens
        ):
            packs.append([])
            size = 0
        packs[-1].append(example)
        size += example.tokens
    return packs


def packed_row(row_id: str, kind: str, packed: Sequence[Example]) -> JsonObject:
    """Examples of one system prompt and one tool list as one row."""
    task = packed[0].task
    messages = [Message("system", task.system)] if task.system else []
    for example in packed:
        messages += example.messages
    # Swift rows pair calls and results by position, so equal call ids of two examples do not meet.
    row = _swift(messages, task.tools)
    row["id"], row["kind"] = row_id, kind
    row["sources"] = sorted({source for example in packed for source in example.sources})
    row["question_ids"] = [example.task.question.id for example in packed]
    return row


def _swift(messages: Sequence[Message], tools: tuple[ToolSchema, ...]) -> JsonObject:
    return to_swift(conversation_without_markers(Conversation(tuple(messages), tools)))
