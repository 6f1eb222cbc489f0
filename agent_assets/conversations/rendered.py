"""Training rows as the model reads them: rendered by the base model's chat template, tokenized,
with the loss mask.

Needs no torch. The integration tests hold it to what ms-swift trains on: the same token ids, the
same learned ones.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.formats import from_swift, to_openai
from agent_assets.conversations.messages import JsonObject

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

TEMPLATE_FILE, TOKENIZER_FILE = "chat_template.jinja", "tokenizer.json"
_ASSISTANT, _END = "<|im_start|>assistant\n", "<|im_end|>\n"


@dataclass(frozen=True)
class Rendered:
    """One row: `text` as the template writes it, token ids, and for each token whether the loss
    counts it (`loss_mask`).

    `spans` are start and end of the learned parts of the text.
    """

    text: str
    ids: list[int]
    loss_mask: list[bool]
    spans: list[tuple[int, int]]

    def runs(self) -> Iterator[tuple[str, bool]]:
        """The text in parts that are learned or not; together they are the text."""
        position = 0
        for start, end in self.spans:
            yield self.text[position:start], False
            yield self.text[start:end], True
            position = end
        if position < len(self.text):
            yield self.text[position:], False


class RowRenderer:
    """Renders rows for one base model, given as the folder of its artifact."""

    def __init__(self, model_dir: Path) -> None:
        self._template = _template((model_dir / TEMPLATE_FILE).read_text(encoding="utf-8"))
        self._tokenizer = _tokenizer(str(model_dir / TOKENIZER_FILE))

    def render(self, row: JsonObject) -> Rendered:
        """A row of train.jsonl; the learned tokens are the assistant's text and calls, and the end
        of each turn.
        """
        chat = to_openai(from_swift(row))
        for message in chat["messages"]:
            for call in message.get("tool_calls", ()):  # as servers hand them to the template
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        text = self._template.render(
            messages=chat["messages"], tools=chat.get("tools"), add_generation_prompt=False
        )
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        spans = list(learned_spans(text))
        loss_mask, current = [], 0
        for start, end in encoded.offsets:
            while current < len(spans) and start >= spans[current][1]:
                current += 1
            loss_mask.append(current < len(spans) and start >= spans[current][0] and end > start)
        return Rendered(text, encoded.ids, loss_mask, spans)


def learned_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every assistant turn in a rendered row, its end token and line break
    included.

    Marks of the template inside of what somebody said are taken for the template's own.
    """
    start = text.find(_ASSISTANT)
    while start >= 0:
        start += len(_ASSISTANT)
        end = text.find(_END, start)
        end = len(text) if end < 0 else end + len(_END)
        yield start, end
        start = text.find(_ASSISTANT, end)


@lru_cache(maxsize=4)
def _template(source: str) -> "Template":
    """The template as transformers compiles it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    return environment.from_string(source)


def _to_json(value: object, indent: int | None = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    return tokenizer
