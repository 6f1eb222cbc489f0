"""The mix of an elder's rows: shares of persona, tool, abstention and general examples, so that one
keeps the others.

Parts of which there are too many are cut down to the configured shares, by a hash of each example's
id: the largest mix without repeating anything. General conversations are replayed as they stand,
under no elder's prompt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from agent_assets.conversations.formats import read_row, to_swift
from agent_assets.conversations.markers import conversation_without_markers
from agent_assets.conversations.messages import Conversation, JsonObject, Message
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.synthesis.config import MixConfig
from agent_assets.synthesis.rows.example import Example
from agent_assets.text.seeds import short_hash, stable_hash

GENERAL = "general"
_PARTS = {
    "recall_open": "persona",
    "recall_closed": "persona",
    "tool": "tools",
    "abstention": "abstention",
}
_OURS = Path(__file__).with_name("general_rows.yaml")


@dataclass(frozen=True)
class Mixed:
    """What is trained on: examples, general rows; shares as they are, and how many of each part
    were left out.
    """

    examples: list[Example]
    general: list[JsonObject] = field(default_factory=list)
    shares: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def farthest(self, config: MixConfig) -> float:
        """Largest distance from a configured share."""
        return max(abs(self.shares[part] - share) for part, share in config.shares().items())

    def summary(self, config: MixConfig) -> JsonObject:
        """What the summary of the rows says of the mix."""
        return {
            "mix": {part: round(share, 4) for part, share in self.shares.items()},
            "mix_left_out": dict(self.left_out),
            "mix_farthest": round(self.farthest(config), 4),
        }


def mix_rows(
    examples: Sequence[Example], general: Sequence[JsonObject], config: MixConfig, *, seed: int
) -> Mixed:
    """Cut every part down to its share.

    Raises:
        TrainingDataError: a part with a share has nothing.
    """
    parts: dict[str, list[tuple[int, Example | JsonObject]]] = {
        part: [] for part in config.shares()
    }
    for example in examples:
        parts[_PARTS[example.task.kind]].append(
            (stable_hash("mix", seed, example.task.question.id), example)
        )
    parts[GENERAL] = [(stable_hash("mix", seed, row["id"]), row) for row in general]
    shares = {part: share for part, share in config.shares().items() if share}
    empty = sorted(part for part in shares if not parts[part])
    if empty:
        raise TrainingDataError(
            f"The mix wants rows of {', '.join(empty)}, and there are none.",
            next_step="set their share to 0, or ask more questions of that kind; general rows "
            "are those of "
            "train_jsonl.mix.general_rows, or ours, of which not every language has some.",
        )
    total = min(len(parts[part]) / share for part, share in shares.items())
    chosen_by_part: dict[str, list[Example | JsonObject]] = {}
    for part, entries in parts.items():
        count = round(total * shares.get(part, 0.0))
        chosen_by_part[part] = [
            row for _, row in sorted(entries, key=lambda entry: entry[0])[:count]
        ]
    chosen = {id(row) for one_part in chosen_by_part.values() for row in one_part}
    size = sum(map(len, chosen_by_part.values()))
    return Mixed(
        examples=[example for example in examples if id(example) in chosen],
        general=[row for row in general if id(row) in chosen],
        shares={part: len(entries) / size for part, entries in chosen_by_part.items()},
        left_out={
            part: len(entries) - len(chosen_by_part[part]) for part, entries in parts.items()
        },
    )


def general_rows(path: Path | None, language: str) -> list[JsonObject]:
    """General conversations as rows: of a file (any of the three row formats), or ours in a
    language, if there are any.

    Raises:
        ConfigError: the file is not JSONL of one of the formats.
    """
    conversations = _ours(language) if path is None else _read(path)
    rows = []
    for conversation in conversations:
        row = to_swift(conversation_without_markers(conversation))
        name = f"{GENERAL}-{short_hash(json.dumps(row, ensure_ascii=False))}"
        rows.append(row | {"id": name, "kind": GENERAL, "sources": [], "question_ids": [name]})
    return list({row["id"]: row for row in rows}.values())


def _ours(language: str) -> list[Conversation]:
    pairs = yaml.safe_load(_OURS.read_text(encoding="utf-8")).get(language, {})
    return [
        Conversation((Message("user", question), Message("assistant", answer)))
        for question, answer in pairs.items()
    ]


def _read(path: Path) -> list[Conversation]:
    conversations = []
    try:
        lines = path.read_text(encoding="utf-8").split(
            "\n"
        )  # not splitlines: texts may hold U+2028 and its like
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name} is not UTF-8 ({error.reason}).", next_step="save it as UTF-8."
        ) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            conversations.append(read_row(json.loads(line)))
        except (ValueError, KeyError, TypeError, TrainingDataError) as error:
            raise ConfigError(
                f"Line {number} of {path.name} is not a training row ({type(error).__name__}).",
                next_step="write JSONL in one of the formats of `agent-assets export`.",
            ) from None
    return conversations
