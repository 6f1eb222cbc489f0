"""The three row formats, converted both ways: ms-swift, ShareGPT and OpenAI chat.

ms-swift and ShareGPT rows are a flat list in which calls and results pair by position, so they
carry no call ids: reading them numbers the calls `call_1`, `call_2`, ... in order. `canonical` does
that to any conversation, and `from_x(to_x(conversation)) == canonical(conversation)` holds for all
three. Rows keep order: text, then its calls, then their results, then the next message. What a
format cannot say is an error, never a silent change.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolSchema,
    canonical_json,
)
from agent_assets.conversations.row_parts import (
    Kind,
    bad_row,
    entries,
    json_text,
    openai_message,
    openai_tools,
    read_calls,
    read_tools,
    tool_entry,
)
from agent_assets.conversations.sharegpt import from_sharegpt_turns, sharegpt_turns

_SWIFT: dict[Kind, str] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "call": "tool_call",
    "result": "tool_response",
}
_SWIFT_KINDS: dict[str, Kind] = {role: kind for kind, role in _SWIFT.items()} | {"tool": "result"}
_SHAREGPT: dict[Kind, str] = {
    "user": "human",
    "assistant": "gpt",
    "call": "function_call",
    "result": "observation",
}
_SHAREGPT_KINDS: dict[str, Kind] = {role: kind for kind, role in _SHAREGPT.items()} | {
    "system": "system"
}


def canonical(conversation: Conversation) -> Conversation:
    """The same conversation with calls named `call_1`, ... in order, and results in the order of
    their calls.

    Raises:
        TrainingDataError: calls and results do not pair, or call ids repeat within one message.
    """
    messages: list[Message] = []
    count = 0
    for message, results in _batches(conversation):
        calls = tuple(
            replace(call, id=f"call_{count + number}")
            for number, call in enumerate(message.tool_calls, start=1)
        )
        count += len(calls)
        messages.append(replace(message, tool_calls=calls))
        if results:
            messages += [
                replace(result, tool_call_id=call.id)
                for result, call in zip(results, calls, strict=True)
            ]
    return Conversation(tuple(messages), conversation.tools)


def to_swift(conversation: Conversation) -> JsonObject:
    """A row of `train.jsonl` as ms-swift reads it. `tools` is JSON text and absent without tools.

    Raises:
        TrainingDataError: the conversation cannot be written as a flat list.
    """
    row: JsonObject = {
        "messages": [
            {"role": _SWIFT[kind], "content": text} for kind, text in _flatten(conversation)
        ]
    }
    if conversation.tools:
        row["tools"] = canonical_json(openai_tools(conversation.tools))
    return row


def from_swift(row: JsonObject) -> Conversation:
    """The conversation of a swift row.

    Raises:
        TrainingDataError: the row is not in this format.
    """
    pairs = _read_pairs(row, "messages", "role", "content", _SWIFT_KINDS)
    return _unflatten(pairs, read_tools(row.get("tools") or []))


def to_sharegpt(conversation: Conversation) -> JsonObject:
    """A ShareGPT row as LLaMA-Factory reads it: the system prompt stands beside the conversation,
    `tools` is JSON text, and people and assistants take turns (see `sharegpt_turns`).

    Raises:
        TrainingDataError: the conversation cannot be written as a flat list.
    """
    pairs = list(_flatten(conversation))
    row: JsonObject = {}
    if pairs and pairs[0][0] == "system":
        row["system"] = pairs.pop(0)[1]
    turns = sharegpt_turns(pairs)
    row["conversations"] = [{"from": _SHAREGPT[kind], "value": text} for kind, text in turns]
    if conversation.tools:
        row["tools"] = canonical_json([tool_entry(tool) for tool in conversation.tools])
    return row


def from_sharegpt(row: JsonObject) -> Conversation:
    """The conversation of a ShareGPT row.

    Raises:
        TrainingDataError: the row is not in this format.
    """
    system: list[tuple[Kind, str]] = (
        [("system", row["system"])] if isinstance(row.get("system"), str) else []
    )
    turns = _read_pairs(row, "conversations", "from", "value", _SHAREGPT_KINDS)
    return _unflatten(system + from_sharegpt_turns(turns), read_tools(row.get("tools") or []))


def read_row(row: JsonObject) -> Conversation:
    """The conversation of a row in whichever of the three formats it is.

    Raises:
        TrainingDataError: it is in none of them.
    """
    if "conversations" in row:
        return from_sharegpt(row)
    if any("tool_calls" in message for message in entries(row, "messages")):
        return from_openai(row)
    return from_swift(row)


def to_openai(conversation: Conversation) -> JsonObject:
    """An OpenAI chat row. Content is null for an assistant message that only calls.

    Raises:
        TrainingDataError: calls and results do not pair.
    """
    row: JsonObject = {
        "messages": [openai_message(message) for message in canonical(conversation).messages]
    }
    if conversation.tools:
        row["tools"] = openai_tools(conversation.tools)
    return row


def from_openai(row: JsonObject) -> Conversation:
    """The conversation of an OpenAI chat row; call ids are renumbered.

    Raises:
        TrainingDataError: the row is not in this format.
    """
    messages = [
        _read_openai_message(entry, number)
        for number, entry in enumerate(entries(row, "messages"), start=1)
    ]
    return canonical(Conversation(tuple(messages), read_tools(row.get("tools") or [])))


def _batches(conversation: Conversation) -> Iterator[tuple[Message, list[Message]]]:
    """Each message that is not a result, with the results of its calls in call order (none at all,
    or all of them).
    """
    messages = conversation.messages
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if message.role == "tool":
            raise bad_row(index, "a result that follows no call")
        start = index
        while index < len(messages) and messages[index].role == "tool" and message.tool_calls:
            index += 1
        results = {result.tool_call_id: result for result in messages[start:index]}
        ids = [call.id for call in message.tool_calls]
        if len(set(ids)) != len(ids):
            raise bad_row(start, "two calls with one id")
        if index > start and (set(results) != set(ids) or len(results) != index - start):
            raise bad_row(start, f"{len(ids)} calls and {index - start} results that do not pair")
        yield message, [results[call_id] for call_id in ids] if results else []


def _flatten(conversation: Conversation) -> Iterator[tuple[Kind, str]]:
    # an assistant message without results: what an assistant says next would run into it
    open_turn = False
    for number, (message, results) in enumerate(_batches(conversation), start=1):
        if message.role == "system" and number > 1:
            raise bad_row(number, "a system prompt that is not first")
        if message.tool_calls and open_turn:
            raise bad_row(number, "a call right after another assistant message")
        if message.role != "tool" and (message.content or not message.tool_calls):
            yield message.role, message.content
        for call in message.tool_calls:
            yield (
                "call",
                f'{{"name": {json_text(call.name)}, "arguments": {json_text(call.arguments)}}}',
            )
        for result in results:
            yield "result", result.content
        open_turn = message.role == "assistant" and not results


def _unflatten(pairs: Iterable[tuple[Kind, str]], tools: tuple[ToolSchema, ...]) -> Conversation:
    messages: list[Message] = []
    unanswered: list[str] = []  # ids of calls that wait for a result
    count = 0
    previous: Kind | None = None
    for number, (kind, text) in enumerate(pairs, start=1):
        if kind == "result":
            if not unanswered:
                raise bad_row(number, "a result that follows no call")
            messages.append(Message("tool", text, tool_call_id=unanswered.pop(0)))
        elif kind == "call":
            calls = read_calls(text, number, first_id=count + 1)
            count += len(calls)
            if previous not in {"assistant", "call"}:
                messages.append(Message("assistant"))
                unanswered = []
            messages[-1] = replace(messages[-1], tool_calls=messages[-1].tool_calls + calls)
            unanswered += [call.id for call in calls]
        else:
            messages.append(Message(kind, text))
        previous = kind
    conversation = Conversation(tuple(messages), tools)
    for _ in _batches(conversation):  # refuses a row in which some calls of a message lack a result
        pass
    return conversation


def _read_pairs(
    row: JsonObject, key: str, role: str, content: str, kinds: dict[str, Kind]
) -> list[tuple[Kind, str]]:
    pairs: list[tuple[Kind, str]] = []
    for number, entry in enumerate(entries(row, key), start=1):
        name, text = entry.get(role), entry.get(content)
        if not isinstance(name, str) or name not in kinds:
            raise bad_row(number, f"{role} is {str(name)[:40]!r}, not one of {', '.join(kinds)}")
        if not isinstance(text, str):
            raise bad_row(number, f"{content} is not text")
        pairs.append((kinds[name], text))
    return pairs


def _read_openai_message(entry: JsonObject, number: int) -> Message:
    role, content = entry.get("role"), entry.get("content")
    calls = entry.get("tool_calls") or []
    if isinstance(content, list):  # content parts
        content = "".join(
            str(part["text"])
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    if role not in {"system", "user", "assistant", "tool"}:
        raise bad_row(
            number, f"role is {str(role)[:40]!r}, not one of system, user, assistant, tool"
        )
    if not isinstance(content, str) and not (content is None and calls):
        raise bad_row(number, "content is not text")
    read = []
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise bad_row(number, "a call without an id")
        read += [
            replace(item, id=call["id"])
            for item in read_calls(json_text(call.get("function")), number, first_id=1)
        ]
    return Message(role, content or "", tuple(read), entry.get("tool_call_id"))
