"""A chat model behind an OpenAI-compatible server: vLLM, Ollama, or a paid one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from openai import AsyncOpenAI

from agent_assets.agent.loop import UNPARSED
from agent_assets.agent.reply_forms import plain_message
from agent_assets.agent.tracing import span
from agent_assets.conversations.markers import tools_without_markers, without_markers
from agent_assets.conversations.messages import JsonObject, Message, ToolCall, ToolSchema, Usage
from agent_assets.conversations.reasoning import (
    SpokenText,
    split_reasoning,
    with_reasoning,
    without_reasoning,
)
from agent_assets.conversations.row_parts import openai_message
from agent_assets.conversations.strict_tools import strict_openai_tools

if TYPE_CHECKING:
    import httpx
    from openai.types.chat.chat_completion import Choice


class OpenAIChatModel:
    """Asks `/chat/completions`; one client, safe to use from many tasks. `async with` closes its
    connections.

    Args:
        base_url: ends in `/v1`.
        api_key: any text where the server asks for none.
        model: name as the server lists it.
        temperature: 0 for the most likely answer.
        max_tokens: most tokens of one answer.
        seed: for servers that sample.
        timeout_s: longest wait for one answer.
        max_retries: how often connection errors, 429 and 5xx are tried again, with growing pauses.
        http_client: connections shared with others, which are not closed here; None makes some.
        extra_body: further fields of every request, for servers that know them.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int = 42,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        http_client: "httpx.AsyncClient | None" = None,
        extra_body: JsonObject | None = None,
    ) -> None:
        self._shared = http_client is not None
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout_s,
            max_retries=max_retries,
            http_client=http_client,
        )
        self._settings: dict[str, Any] = {
            "model": model,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
            **({} if extra_body is None else {"extra_body": extra_body}),
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the connections: left to the garbage collector, they outlive their event loop and
        complain.
        """
        if not self._shared:
            await self._client.close()

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next assistant message, with the tokens that the server counted.

        Raises:
            openai.OpenAIError: the server cannot be reached or refuses.
        """
        request = self._settings | request_body(messages, tools)
        with span("llm_call", lambda: request) as traced:
            reply = await self._client.chat.completions.create(**request)
            traced.finish(reply.model_dump(exclude_none=True))
        counted = reply.usage
        usage = None if counted is None else Usage(counted.prompt_tokens, counted.completion_tokens)
        return replace(read_reply(reply.choices[0]), usage=usage)

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        on_text: Callable[[str], None],
    ) -> Message:
        """As `complete`; `on_text` gets what the model says piece by piece while it writes.

        Raises:
            openai.OpenAIError: the server cannot be reached or refuses, or the connection breaks.
        """
        request = self._settings | request_body(messages, tools) | {"stream": True}
        text: list[str] = []
        spoken = SpokenText()
        parts: dict[int, list[str]] = {}  # of each call: id, name, arguments so far
        async for chunk in await self._client.chat.completions.create(**request):
            for choice in chunk.choices:
                if choice.delta.content:
                    text.append(choice.delta.content)
                    if new := spoken.add(choice.delta.content):
                        on_text(new)
                for call in choice.delta.tool_calls or ():
                    part = parts.setdefault(call.index, ["", "", ""])
                    part[0] = call.id or part[0]
                    if call.function is not None:
                        part[1] = part[1] or call.function.name or ""
                        part[2] += call.function.arguments or ""
        if rest := spoken.end():
            on_text(rest)
        calls = tuple(
            ToolCall(name, _arguments(arguments), number)
            for number, name, arguments in parts.values()
        )
        return Message("assistant", without_reasoning("".join(text)), calls)


def request_body(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> JsonObject:
    """What every request says: the messages, without marks of a chat template in what people and
    tools said, and the tools where some are offered.
    """
    plain = map(without_markers, messages)
    body: JsonObject = {"messages": [openai_message(message, finite=False) for message in plain]}
    plain_tools = tools_without_markers(tools)
    return body | ({"tools": strict_openai_tools(plain_tools)} if tools else {})


def read_reply(choice: "Choice", *, keep_reasoning: bool = False) -> Message:
    """The assistant message of a choice; arguments that are not a JSON object are kept as text (see
    `UNPARSED`).

    Args:
        keep_reasoning: what the model thought stays in the content, between tags.
    """
    # A client that validates nothing hands on what the server sent, of whatever type.
    answer = plain_message(choice.message.model_dump(warnings=False))
    calls = tuple(
        ToolCall(call["function"]["name"], _arguments(call["function"]["arguments"]), call["id"])
        for call in answer["tool_calls"] or ()
        if call["type"] == "function"
    )
    thought, text = split_reasoning(answer["content"] or "")
    thought = "\n".join(filter(None, [answer["reasoning_content"], thought]))
    return Message("assistant", with_reasoning(thought, text) if keep_reasoning else text, calls)


def _arguments(text: str) -> JsonObject:
    """The arguments of a call; NaN, infinity and half a surrogate pair, which no server can be
    sent, make them text.
    """
    try:
        value = json.loads(text or "{}")
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        value = None
    if isinstance(value, dict):
        return cast(JsonObject, value)
    return {UNPARSED: text.encode(errors="backslashreplace").decode()}
