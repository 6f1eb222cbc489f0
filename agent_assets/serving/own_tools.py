"""An agent without an elder answers in OpenAI's protocol with its own tools: the caller sends none
and gets the answer that `/chat` gives.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from agent_assets.agent.loop import StopReason
from agent_assets.conversations.messages import JsonObject, Message
from agent_assets.serving.answering import Answer
from agent_assets.serving.completions import CompletionMessage, CompletionRequest
from agent_assets.serving.released import ReleasedAgent


def uses_own_tools(request: CompletionRequest, released: ReleasedAgent) -> bool:
    """Whether the agent calls its own tools: it is nobody's, and the caller brought neither tools
    nor a system prompt, so it is the agent itself that is asked.
    """
    roles = {message.role for message in request.messages}
    return (
        released.agent[0] == released.agent[1]
        and request.tools is None
        and roles <= {"user", "assistant"}
        and request.messages[-1].role == "user"
        and bool(_text(request.messages[-1]).strip())
    )


def as_conversation(request: CompletionRequest) -> tuple[str, list[Message]]:
    """The question, and what was said before it."""
    *before, last = request.messages
    history = [
        Message("user" if entry.role == "user" else "assistant", _text(entry))
        for entry in before
        if _text(entry).strip()
    ]
    return _text(last), history


def completion(request: CompletionRequest, answer: Answer) -> JsonObject:
    """An answer as a chat completion, without a count of tokens: several turns made it."""
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
    return _frame(request, "chat.completion") | {"choices": [choice]}


def completion_chunks(request: CompletionRequest, answer: Answer) -> Iterator[JsonObject]:
    """The same as the chunks of a stream: the text is whole, as tools were asked before it."""
    frame = _frame(request, "chat.completion.chunk")
    deltas: list[tuple[JsonObject, str | None]] = [
        ({"role": "assistant", "content": answer.text}, None),
        ({}, _finish(answer)),
    ]
    for delta, reason in deltas:
        choices: list[Any] = [{"index": 0, "delta": delta, "finish_reason": reason}]
        yield frame | {"choices": choices}


def _frame(request: CompletionRequest, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
    }


def _finish(answer: Answer) -> str:
    cut = answer.stop_reason in (StopReason.MAX_TOKENS, StopReason.TRUNCATED)
    return "length" if cut else "stop"


def _text(message: CompletionMessage) -> str:
    if isinstance(message.content, list):
        return "\n".join(str(part.get("text", "")) for part in message.content)
    return message.content or ""
