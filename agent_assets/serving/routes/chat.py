"""Talking to agents: `/chat` with their own tools, and the OpenAI-compatible `/v1`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from agent_assets.conversations.markers import described_without_markers, entry_without_markers
from agent_assets.conversations.messages import Message
from agent_assets.errors import AgentAssetsError, EngineFailed
from agent_assets.serving.answering import Answer, ModelUnavailable
from agent_assets.serving.context import CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.routes.server_events import server_event
from agent_assets.serving.schemas import ChatReply, ChatRequest, CompletionRequest

router = APIRouter(tags=["chat"])
_DONE = object()
_ATTEMPTS = 2


@router.post("/chat", response_model=ChatReply)
async def chat(request: ChatRequest, serving: ServicesDep, caller: WriterDep) -> ChatReply:
    """Ask an agent: it answers as itself, looks its memories up, and names those it rests on."""
    released = await asyncio.to_thread(serving.find, caller, request.elder_id)
    answer = await serving.answering.answer(released, request.message, _history(request))
    return _reply(serving, request, answer)


# FastAPI takes a route of class EventSourceResponse for a generator of its own events.
@router.post("/chat/stream", response_class=StreamingResponse)
async def chat_stream(
    request: ChatRequest, serving: ServicesDep, caller: WriterDep
) -> EventSourceResponse:
    """As `/chat`, as server-sent events: `text_chunk`, `tool_call`, `tool_response`, then `result`
    or `error`.
    """
    released = await asyncio.to_thread(serving.find, caller, request.elder_id)
    return EventSourceResponse(_events(serving, released, request))


async def _events(
    serving: Services, released: ReleasedAgent, request: ChatRequest
) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def work() -> None:
        try:
            answer = await serving.answering.answer(
                released,
                request.message,
                _history(request),
                lambda kind, content: queue.put_nowait((kind, content)),
            )
            queue.put_nowait(("result", _reply(serving, request, answer).model_dump()))
        except AgentAssetsError as error:
            queue.put_nowait(("error", {"detail": error.message, "next_step": error.next_step}))
        finally:
            queue.put_nowait(_DONE)

    task = asyncio.create_task(work())
    try:
        while (event := await queue.get()) is not _DONE:
            yield server_event(*event)
        await asyncio.wait({task})
        if task.cancelled() or task.exception() is not None:
            yield server_event(
                "error", {"detail": "The answer failed.", "next_step": "read the log of the API."}
            )
    finally:  # also when the client goes away: nobody is left to read the answer
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _history(request: ChatRequest) -> list[Message]:
    return [Message(entry.role, entry.content) for entry in request.conversation_history]


def _reply(serving: Services, request: ChatRequest, answer: Answer) -> ChatReply:
    serving.metrics.answers.labels(answer.stop_reason).inc()
    serving.metrics.tool_calls.inc(answer.tool_calls)
    return ChatReply(
        elder_id=request.elder_id,
        message=request.message,
        response=answer.text,
        model_name=answer.model,
        memory_ids=list(answer.memory_ids),
        stop_reason=answer.stop_reason,
    )


@router.get("/v1/models")
async def openai_models(serving: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """Released agents in OpenAI's form, the first thousand."""

    def read() -> list[dict[str, Any]]:
        agents = [agent for agent in serving.released.agents() if caller.may_see(agent[1])]
        entries = [(agent[1], serving.released.entry(agent)) for agent in agents[:1000]]
        return [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "agent-assets",
                "version": entry.name,
            }
            for name, entry in entries
            if entry is not None
        ]

    return {"object": "list", "data": await asyncio.to_thread(read)}


@router.post("/v1/chat/completions")
async def completions(
    request: CompletionRequest, serving: ServicesDep, caller: WriterDep
) -> Response:
    """The model behind an agent, with the caller's own messages and tools; streams when asked to.

    Without a system message the agent's own stands first. Tools are the caller's: the agent's
    memories are not looked up here, `/chat` does that.
    """
    released = await asyncio.to_thread(serving.find, caller, request.model)
    body = request.model_dump(exclude_none=True) | {"model": released.entry.name}
    if not any(message.role in ("system", "developer") for message in request.messages):
        own = {"role": "system", "content": released.candidate.system_prompt}
        body["messages"] = [own, *body["messages"]]
    body["messages"] = [entry_without_markers(entry) for entry in body["messages"]]
    if "tools" in body:
        body["tools"] = described_without_markers(body["tools"])
    reply, stack = await _ask(serving, released, body)
    if reply.status_code != 200 or not request.stream:
        await stack.aclose()
        return _passed_on(reply.status_code, reply.content)
    return _Streamed(reply, stack)


async def _ask(
    serving: Services, released: ReleasedAgent, body: dict[str, Any]
) -> tuple[httpx.Response, AsyncExitStack]:
    """The model server's reply, read unless it is a stream. What was never answered is asked once
    more.

    The stack holds the adapter: close it when the reply was passed on.

    Raises:
        ModelUnavailable: the model server does not answer.
    """
    adapter, base, base_version = await asyncio.to_thread(serving.released.adapter, released)
    for attempt in range(_ATTEMPTS):
        stack = AsyncExitStack()
        try:
            server = await serving.inference.server(base, base_version)
            served = await stack.enter_async_context(server.use(released.entry.name, adapter))
            url, seconds = f"{served.base_url}/chat/completions", serving.config.answers.seconds
            client = serving.inference.client
            reply = await client.send(
                client.build_request("POST", url, json=body, timeout=seconds), stream=True
            )
            stack.push_async_callback(reply.aclose)
            if reply.status_code != 200 or not body["stream"]:
                await reply.aread()
            if reply.status_code == 404 and attempt + 1 < _ATTEMPTS:
                served.lost()
                await stack.aclose()
                continue
        except (httpx.HTTPError, EngineFailed) as error:
            await stack.aclose()
            if attempt + 1 < _ATTEMPTS and not isinstance(error, httpx.TimeoutException):
                continue
            if isinstance(error, EngineFailed):
                raise
            raise ModelUnavailable(
                f"The model server did not answer ({type(error).__name__}).",
                next_step="try again in a minute.",
            ) from None
        except BaseException:
            await stack.aclose()
            raise
        return reply, stack
    raise AssertionError("unreachable")


class _Streamed(EventSourceResponse):
    """The model server's stream, passed on. The adapter is held until that is over, also when it
    never began because the client had gone.
    """

    def __init__(self, reply: httpx.Response, stack: AsyncExitStack) -> None:
        super().__init__(_passed(reply))
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _passed(reply: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        text = json.dumps(
            {"error": {"message": f"the model server went away ({type(error).__name__})"}}
        )
        yield format_sse_event(data_str=text)


def _passed_on(status: int, content: bytes) -> Response:
    """The server's answer; a refusal is the caller's error, a failure of the server is ours."""
    if status == 200:
        return Response(content, media_type="application/json")
    if status >= 500:
        raise ModelUnavailable("The model server failed.", next_step="try again in a minute.")
    detail = {
        "error": {
            "message": "The model server refused the request.",
            "type": "invalid_request_error",
        }
    }
    with suppress(ValueError, KeyError, TypeError):
        message = str(json.loads(content)["error"]["message"])
        detail["error"]["message"] = message[:500]
    return JSONResponse(detail, 422 if status == 404 else 400)
