"""Training rows as the model reads them: rendered by the base model's chat template, tokenized,
with the loss mask.

Needs no torch. Rows of a base model with our own template are trained by ms-swift's rendering; the
integration tests hold this one to it: the same token ids, the same learned ones. Rows of a base
model with its own template are trained on exactly what stands here (`native_rows.py`).
"""

import json
from collections.abc import Iterator
from pathlib import Path

from agent_assets.conversations.formats import from_swift, to_openai
from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.conversations.rendering.template_environment import (
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    Rendered,
    compiled_template,
    is_native,
    read_tokenizer,
)

_ASSISTANT, _END = "<|im_start|>assistant\n", "<|im_end|>\n"


class RowRenderer:
    """Renders rows for one base model, given as the folder of its artifact."""

    def __init__(self, model_dir: Path) -> None:
        source = (model_dir / TEMPLATE_FILE).read_text(encoding="utf-8")
        self._native = NativeRows(model_dir) if is_native(source) else None
        self._template = compiled_template(source)
        self._tokenizer = read_tokenizer(str(model_dir / TOKENIZER_FILE))

    def sequences(self, row: JsonObject) -> list[Rendered]:
        """What a row of train.jsonl teaches; the learned tokens are the assistant's text and
        calls, and the end of each turn.

        It is one text, unless the template writes earlier turns otherwise than they were answered:
        then there is one for every turn that does not go on from the one before.

        Raises:
            TrainingDataError: the model's own template cannot say this row.
        """
        if self._native is None:
            return [self._render(row)]
        return self._native.sequences(from_swift(row))

    def _render(self, row: JsonObject) -> Rendered:
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
    """Start and end of every assistant turn in a row that our template rendered, its end token and
    line break included.

    Marks of the template inside of what somebody said are taken for the template's own.
    """
    start = text.find(_ASSISTANT)
    while start >= 0:
        start += len(_ASSISTANT)
        end = text.find(_END, start)
        end = len(text) if end < 0 else end + len(_END)
        yield start, end
        start = text.find(_ASSISTANT, end)
