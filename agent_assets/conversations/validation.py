"""Is a conversation fit to train on? Every no has a reason code, so that rejects can be counted and
explained.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jsonschema import ValidationError

from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
)
from agent_assets.conversations.schemas.document import document_of


class RejectReason(StrEnum):
    """Why a call or a row is rejected. The values are in rejects.jsonl: never rename one."""

    # A call against its tool.
    UNKNOWN_TOOL = "unknown_tool"  # no tool of that name was offered
    MISSING_REQUIRED = "missing_required"  # a required argument is absent
    EXTRA_ARGUMENT = "extra_argument"  # an argument that the tool does not have
    WRONG_TYPE = "wrong_type"  # text where a number belongs, and the like
    NOT_IN_ENUM = "not_in_enum"  # not one of the allowed values
    BAD_FORMAT = "bad_format"  # not a valid date, or the pattern is not matched
    # a number too large, a list too short, any other limit of the schema
    OUT_OF_RANGE = "out_of_range"
    # The shape of a conversation.
    EMPTY = "empty"  # no messages, or a message that says nothing and calls nothing
    NO_ANSWER = "no_answer"  # it does not end with an assistant's text
    WRONG_ORDER = "wrong_order"  # a late system prompt, or an assistant that answers itself
    UNPAIRED_CALL = "unpaired_call"  # a call without a result
    UNPAIRED_RESULT = "unpaired_result"  # a result without a call
    TOO_LONG = "too_long"  # more characters than fit the model
    # a call id used twice; of rows: the same question or calls as another row
    DUPLICATE = "duplicate"
    NOT_A_ROW = "not_a_row"  # of rows of one's own: neither a row format nor the named columns
    # What only synthesis can see.
    OBSERVATION_IS_ERROR = "observation_is_error"  # the tool answered with an error
    OBSERVATION_DIFFERS = "observation_differs"  # calling again gave another result
    NOT_GROUNDED = "not_grounded"  # the answer holds a value that no result holds
    CONTRADICTS = "contradicts"  # the answer denies a result, or gives a key the value of another
    NOT_CITED = "not_cited"  # an answer from memories names none of them
    NOT_OWN_WORDS = "not_own_words"  # an answer from memories holds too little of their words
    NOT_ABSTAINED = "not_abstained"  # nothing is known, and the answer does not say so
    WRONG_TOOL = "wrong_tool"  # none of the tools that answer the question was called
    BANNED = "banned"  # a pattern of train_jsonl.banned occurs
    # its tool may change things, and the configuration does not allow it
    WRITES = "writes"
    TOOL_SERVER_FAILED = "tool_server_failed"  # a tool server died twice on this question
    NO_RESULT = "no_result"  # the tool found nothing where an answer was expected
    UNEXPECTED_RESULT = "unexpected_result"  # the tool found something where nothing was expected
    TEACHER_FAILED = "teacher_failed"  # the teacher did not finish
    REVIEWED = "reviewed"  # a person marked it as wrong


@dataclass(frozen=True)
class Rejection:
    """One reason, and where: names of tools and arguments and counts, never their values."""

    reason: RejectReason
    detail: str


_REASONS = {
    "required": RejectReason.MISSING_REQUIRED,
    "additionalProperties": RejectReason.EXTRA_ARGUMENT,
    "unevaluatedProperties": RejectReason.EXTRA_ARGUMENT,
    "type": RejectReason.WRONG_TYPE,
    "enum": RejectReason.NOT_IN_ENUM,
    "const": RejectReason.NOT_IN_ENUM,
    "format": RejectReason.BAD_FORMAT,
    "pattern": RejectReason.BAD_FORMAT,
}


def validate_call(call: ToolCall, tools: Sequence[ToolSchema]) -> list[Rejection]:
    """What is wrong with a call, in the order of its schema; empty when the call is right.

    An argument that the schema does not name is extra, also where the schema forgot to forbid it.
    Null is accepted where the tool declares null as the default.
    """
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        return [
            Rejection(
                RejectReason.UNKNOWN_TOOL, f"{call.name[:64]!r} is not among the {len(tools)} tools"
            )
        ]
    document = document_of(tool.parameters)
    properties = document.arguments
    arguments = {
        name: value
        for name, value in call.arguments.items()
        if not _is_default_null(value, properties, name)
    }
    rejections = [
        _rejection(call.name, leaf)
        for error in document.call_validator.iter_errors(arguments)
        for leaf in _leaves(error)
    ]
    return list(dict.fromkeys(rejections))


def validate_conversation(conversation: Conversation, *, max_chars: int) -> list[Rejection]:
    """What is wrong with a conversation as training data; empty when nothing is.

    Args:
        conversation: messages and the tools that were offered.
        max_chars: most characters of all messages and calls together; tool schemas are not counted.
    """
    messages = conversation.messages
    if not messages:
        return [Rejection(RejectReason.EMPTY, "no messages")]
    rejections = [*_shape(messages), *_pairing(messages)]
    for message in messages:
        for call in message.tool_calls:
            rejections += validate_call(call, conversation.tools)
    length = sum(
        len(message.content) + sum(map(_call_length, message.tool_calls)) for message in messages
    )
    if length > max_chars:
        rejections.append(
            Rejection(RejectReason.TOO_LONG, f"{length} characters, {max_chars} allowed")
        )
    return rejections


def _shape(messages: Sequence[Message]) -> Iterator[Rejection]:
    for number, message in enumerate(messages, start=1):
        before = messages[number - 2].role if number > 1 else None
        if message.role != "tool" and not message.content.strip() and not message.tool_calls:
            yield Rejection(RejectReason.EMPTY, f"message {number} ({message.role})")
        if message.role == "system" and number > 1:
            yield Rejection(
                RejectReason.WRONG_ORDER, f"message {number}: system prompt after the first message"
            )
        if message.role == "assistant" and before in {None, "system", "assistant"}:
            yield Rejection(
                RejectReason.WRONG_ORDER, f"message {number}: assistant after {before or 'nothing'}"
            )
        if message.role == "user" and before == "tool":
            yield Rejection(
                RejectReason.WRONG_ORDER, f"message {number}: user before the results were answered"
            )
    last = messages[-1]
    if last.role != "assistant" or last.tool_calls:
        yield Rejection(
            RejectReason.NO_ANSWER,
            f"the last message is {'a call' if last.tool_calls else last.role}",
        )


def _pairing(messages: Sequence[Message]) -> Iterator[Rejection]:
    """Every call has one result, right after the message that called, and every result its call."""
    if not any(message.tool_calls or message.role == "tool" for message in messages):
        return
    ids = Counter(call.id for message in messages for call in message.tool_calls)
    for call_id in sorted(call_id for call_id, count in ids.items() if count > 1):
        yield Rejection(
            RejectReason.DUPLICATE, f"call id {call_id[:64]!r} is used {ids[call_id]} times"
        )
    waiting: dict[str, str] = {}
    for number, message in enumerate(messages, start=1):
        if message.role == "tool":
            if waiting.pop(message.tool_call_id or "", None) is None:
                yield Rejection(RejectReason.UNPAIRED_RESULT, f"message {number}")
            continue
        yield from (Rejection(RejectReason.UNPAIRED_CALL, name) for name in waiting.values())
        waiting = {call.id: call.name for call in message.tool_calls}
    yield from (Rejection(RejectReason.UNPAIRED_CALL, name) for name in waiting.values())


def _rejection(tool: str, error: ValidationError) -> Rejection:
    keyword = str(error.validator)
    reason = _REASONS.get(keyword, RejectReason.OUT_OF_RANGE)
    where = ".".join([tool, *(str(part) for part in error.absolute_path)])
    rule: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator is None:  # the schema of the argument is `false`
        return Rejection(RejectReason.EXTRA_ARGUMENT, where)
    if keyword == "required" and isinstance(rule, list):
        return Rejection(reason, f"{where}: {', '.join(sorted(set(rule) - set(instance)))}")
    if reason is RejectReason.EXTRA_ARGUMENT:
        extra = sorted(set(instance) - set(schema.get("properties", {})))
        return Rejection(reason, f"{where}: {', '.join(name[:64] for name in extra)}")
    return Rejection(reason, f"{where}: {keyword} {_expected(rule)}")


def _expected(rule: object) -> str:
    return json.dumps(rule, ensure_ascii=False, sort_keys=True)[:200]


def _leaves(error: ValidationError) -> list[ValidationError]:
    """The error itself, or, of a choice (anyOf, oneOf), what its most fitting branch says: not
    "none of them fits".
    """
    if not error.context:
        return [error]
    branches: dict[Any, list[ValidationError]] = {}
    for nested in error.context:
        branches.setdefault(nested.schema_path[0], []).append(nested)
    # A branch whose type is wrong was not meant; of the others, the one with the fewest errors was.
    best = min(
        branches.values(),
        key=lambda errors: (any(_is_type_error(item) for item in errors), len(errors)),
    )
    return [leaf for nested in best for leaf in _leaves(nested)]


def _is_type_error(error: ValidationError) -> bool:
    return error.validator == "type" and not error.path


def _is_default_null(value: object, properties: JsonObject, name: str) -> bool:
    schema = properties.get(name)
    return (
        value is None
        and isinstance(schema, dict)
        and "default" in schema
        and schema["default"] is None
    )


def _call_length(call: ToolCall) -> int:
    return len(call.name) + len(json.dumps(call.arguments, ensure_ascii=False))
