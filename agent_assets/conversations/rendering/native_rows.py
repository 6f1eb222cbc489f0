"""Training rows of a base model that speaks by its own chat template, whatever that is.

What is served decides: every turn of the assistant stands behind exactly the prompt that a server
renders when it asks for that turn, with the tools as requests send them. Many templates write a
turn otherwise once it is history: Qwen 3 leaves out what was thought, and the empty thoughts of an
answer without any. So a row is as many sequences as there are turns which do not go on, token for
token, from the one before.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_assets.conversations.messages import Conversation, JsonObject, Message
from agent_assets.conversations.reasoning import spoken
from agent_assets.conversations.rendering.template_environment import (
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    Rendered,
    compiled_template,
    read_tokenizer,
)
from agent_assets.conversations.row_parts import openai_message
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.errors import TrainingDataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Written into templates that know one call a turn; see `engines/chat_templates/native.py`.
ONE_CALL_MARK = "{#- one call a turn -#}"
_TOKENS_OF = ("config.json", "generation_config.json")


class NativeRows:
    """Renders conversations by the template in a model folder."""

    def __init__(self, model_dir: Path) -> None:
        source = (model_dir / TEMPLATE_FILE).read_text(encoding="utf-8")
        self._template = compiled_template(source)
        self._one_call = ONE_CALL_MARK in source
        self._tokenizer = read_tokenizer(str(model_dir / TOKENIZER_FILE))
        self._special = _special_tokens(model_dir)
        self.stop_ids = _stop_ids(model_dir, self._tokenizer, self._special)

    def text(
        self,
        messages: Sequence[Message],
        tools: Sequence[JsonObject] = (),
        *,
        prompt: bool = False,
    ) -> str:
        """What the template makes of a conversation, as a server calls it.

        Args:
            tools: in OpenAI form.
            prompt: end with what opens the assistant's next turn.

        Raises:
            jinja2.TemplateError: it refuses the conversation.
        """
        return self._template.render(
            messages=[_served(message) for message in messages],
            tools=list(tools) or None,
            documents=None,
            add_generation_prompt=prompt,
            **self._special,
        )

    def ids(self, text: str) -> list[int]:
        """Tokens of a rendered text; the template writes the first one of a text itself."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def sequences(self, conversation: Conversation) -> list[Rendered]:
        """What a conversation teaches: the assistant's turns, each behind the prompt it answers.

        Raises:
            TrainingDataError: the template cannot say it.
        """
        from jinja2 import TemplateError

        conversation = one_call_each(conversation) if self._one_call else conversation
        tools = strict_openai_tools(conversation.tools)
        sequences: list[Rendered] = []
        try:
            for number, message in enumerate(conversation.messages):
                if message.role == "assistant":
                    before = [spoken(earlier) for earlier in conversation.messages[:number]]
                    turn = self._turn(before, message, tools)
                    last = sequences[-1] if sequences else None
                    if last is not None and turn.ids[: len(last.ids)] == last.ids:
                        sequences[-1] = _continued(last, turn)
                    else:
                        sequences.append(turn)
        except (TemplateError, TypeError) as error:
            raise TrainingDataError(
                f"The base model's chat template cannot say a row: {error}",
                next_step="use another base model, or `base_model.chat_template: compact`.",
            ) from None
        return sequences

    def _turn(
        self, before: Sequence[Message], answer: Message, tools: Sequence[JsonObject]
    ) -> Rendered:
        """One turn as it is answered, from the begin of the prompt to the token that ends it."""
        prompt = self.text(before, tools, prompt=True)
        whole = self.text([*before, answer], tools)
        if not whole.startswith(prompt):
            raise TrainingDataError(
                "The base model's chat template writes an answer otherwise than it asks for one.",
                next_step="use another base model, or `base_model.chat_template: compact`.",
            )
        ids = self.ids(prompt)
        encoded = self._tokenizer.encode(whole, add_special_tokens=False)
        answered, offsets = encoded.ids[len(ids) :], encoded.offsets[len(ids) :]
        if encoded.ids[: len(ids)] != ids:  # the answer's first letters ran into the prompt's last
            encoded = self._tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
            answered = encoded.ids
            offsets = [(start + len(prompt), end + len(prompt)) for start, end in encoded.offsets]
        ends = [place for place, token in enumerate(answered) if token in self.stop_ids]
        if not ends:
            raise TrainingDataError(
                "The base model's chat template ends a turn without a token that ends an answer.",
                next_step="name that token in `eos_token_id` of its generation_config.json.",
            )
        answered = answered[: ends[-1] + 1]
        end = offsets[ends[-1]][1]
        mask = [False] * len(ids) + [True] * len(answered)
        return Rendered(whole[:end], ids + answered, mask, [(len(prompt), end)])


def one_call_each(conversation: Conversation) -> Conversation:
    """The conversation with calls of one turn as turns of their own, each before its result."""
    messages: list[Message] = []
    waiting: list[Message] = []
    for message in conversation.messages:
        if message.role == "assistant" and len(message.tool_calls) > 1:
            first, *others = message.tool_calls
            messages.append(replace(message, tool_calls=(first,)))
            waiting = [Message("assistant", "", (call,)) for call in others]
            continue
        if message.role == "tool" and messages[-1].role == "tool" and waiting:
            messages.append(waiting.pop(0))
        messages.append(message)
    return Conversation(tuple(messages), conversation.tools)


def _continued(earlier: Rendered, turn: Rendered) -> Rendered:
    mask = earlier.loss_mask + turn.loss_mask[len(earlier.ids) :]
    return Rendered(turn.text, turn.ids, mask, earlier.spans + turn.spans)


def _served(message: Message) -> JsonObject:
    """A message as model servers hand it to a template: text as text, arguments decoded."""
    entry = openai_message(message) | {"content": message.content}
    for call in entry.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return entry


def _special_tokens(model_dir: Path) -> dict[str, str]:
    """The tokens that a template may name: `bos_token`, `eos_token` and their kin."""
    path = model_dir / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tokens = {}
    for name, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            tokens[name] = text
    return tokens


def _stop_ids(model_dir: Path, tokenizer: "Tokenizer", special: dict[str, str]) -> frozenset[int]:
    """Tokens at which a server ends an answer."""
    stops = {tokenizer.token_to_id(special["eos_token"])} if "eos_token" in special else set()
    for name in _TOKENS_OF:
        if (model_dir / name).is_file():
            value = json.loads((model_dir / name).read_text(encoding="utf-8")).get("eos_token_id")
            stops |= set(value if isinstance(value, list) else [value])
    return frozenset(token for token in stops if token is not None)
