"""Answers as JSON of a given shape, from servers that can promise it and from those that cannot."""

import json
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.reasoning import without_reasoning
from agent_assets.errors import LlmError, LlmRefused
from agent_assets.llm.client import LlmClient
from agent_assets.strict_model import validation_problems

T = TypeVar("T", bound=BaseModel)

# What servers answer that do not know `response_format`, or not this schema.
_UNKNOWN_FORMAT = {400, 404, 415, 422, 501}
_MAX_ERROR_CHARS = 600


class NoJsonAnswer(LlmError):
    """A model did not answer in the shape that was asked for, however often it was asked.

    Args:
        reason: a name for counts.
    """

    def __init__(self, message: str, *, reason: str = "no_json_answer") -> None:
        super().__init__(message)
        self.reason = reason


async def ask_json(client: LlmClient, messages: list[JsonObject], shape: type[T]) -> T:
    """Ask for JSON of a shape; an answer that does not fit is sent back with what is wrong, until
    the model says the same again. A refusal, or an answer that was cut, is not asked for again.

    Args:
        shape: a model whose extra fields are ignored.

    Raises:
        NoJsonAnswer: it refused, its answer was cut, or none of `json_attempts` answers fits.
        LlmError: as `LlmClient.ask`.
    """
    schema = strict_schema(shape.model_json_schema())
    conversation = list(messages)
    answers: list[str] = []
    for _ in range(client.config.json_attempts):
        choice = await _ask(client, conversation, shape.__name__, schema)
        if choice.message.refusal or choice.finish_reason == "content_filter":
            raise NoJsonAnswer(
                f"The model {client.endpoint.model} refuses to answer.", reason="refused"
            )
        text = without_reasoning(choice.message.content or "")
        try:
            return shape.model_validate_json(json_part(text))
        except ValidationError as error:
            complaint = _explain(error)
        if choice.finish_reason == "length":
            raise NoJsonAnswer(
                f"The answer of {client.endpoint.model} was cut at llm.max_tokens "
                f"({client.config.max_tokens}).",
                reason="cut_at_llm.max_tokens",
            )
        if text in answers:
            break
        answers.append(text)
        conversation = [
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": complaint},
        ]
    raise NoJsonAnswer(f"No answer of {client.endpoint.model} fits the shape {shape.__name__}.")


def strict_schema(schema: JsonObject) -> JsonObject:
    """A JSON Schema as strict decoding wants it: every object closed, every property required."""
    return cast(JsonObject, _strict(schema))


def json_part(text: str, brackets: str = "{}[]") -> str:
    """The JSON in a text that may be in a code fence, between sentences or after what the model
    thought: from its first to its last bracket.
    """
    text = without_reasoning(text)
    starts = [place for bracket in brackets[::2] if (place := text.find(bracket)) >= 0]
    end = max(text.rfind(bracket) for bracket in brackets[1::2])
    return text[min(starts) : end + 1] if starts and end >= 0 else text


async def _ask(client: LlmClient, messages: list[JsonObject], name: str, schema: JsonObject) -> Any:
    if client.json_schema:
        response_format = {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        }
        try:
            return (
                await client.ask({"messages": messages, "response_format": response_format})
            ).choice
        except LlmRefused as error:
            if error.status not in _UNKNOWN_FORMAT:
                raise
            client.json_schema = False
    instruction = (
        f"Answer with JSON only, of this schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )
    first = {**messages[0], "content": f"{messages[0]['content']}\n\n{instruction}"}
    return (await client.ask({"messages": [first, *messages[1:]]})).choice


def _explain(error: ValidationError) -> str:
    problems = "; ".join(validation_problems(error, whole="the answer")[:5])
    return (
        f"That does not fit: {problems[:_MAX_ERROR_CHARS]}. Answer again, with the whole "
        "JSON "
        "and nothing else."
    )


def _strict(value: object) -> Any:
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = {
        name: _strict(item) for name, item in value.items() if name not in {"title", "default"}
    }
    if closed.get("type") == "object" and "properties" in closed:
        closed |= {"additionalProperties": False, "required": list(closed["properties"])}
    return closed
