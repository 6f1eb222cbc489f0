"""OpenAI's protocol: chat completions and models. Errors have OpenAI's form, too."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any

import httpx
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from agent_assets.errors import EngineFailed
from agent_assets.release.records import Entry
from agent_assets.serving.answering import ModelUnavailable
from agent_assets.serving.completions import CompletionRequest
from agent_assets.serving.context import CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.openai_errors import PREFIX, openai_error
from agent_assets.serving.own_tools import (
    as_conversation,
    completion,
    completion_chunks,
    uses_own_tools,
)
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.routes.strict_json import StrictJsonRoute

router = APIRouter(prefix=PREFIX, tags=["openai"], route_class=StrictJsonRoute)
_ATTEMPTS = 2


@router.get("/models")
async def openai_models(serving: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """Released agents in OpenAI's form, the first thousand."""

    def read() -> list[dict[str, Any]]:
        agents = [agent for agent in serving.released.agents() if serving.may_ask(caller, agent)]
        entries = [(agent[1], serving.released.entry(agent)) for agent in agents[:1000]]
        return [_model(name, entry) for name, entry in entries if entry is not None]

    return {"object": "list", "data": await asyncio.to_thread(read)}


@router.get("/models/{model}")
async def openai_model(model: str, serving: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """One released agent in OpenAI's form."""
    released = await asyncio.to_thread(serving.find_to_ask, caller, model)
    return _model(model, released.entry)


@router.post("/chat/completions")
async def completions(
    request: CompletionRequest, serving: ServicesDep, caller: WriterDep
) -> Response:
    """The model behind an agent, with the caller's own messages and tools; streams when asked to.

    Without a system message the agent's own stands first. Tools are the caller's: the agent's
    memories are not looked up here, `/chat` does that. An agent without an elder that is sent
    neither tools nor a system message calls its own.
    """
    released = await asyncio.to_thread(serving.find_to_ask, caller, request.model)
    if uses_own_tools(request, released):
        return await _agent_itself(serving, released, request)
    body = request.forwarded(released.entry.name, released.candidate.system_prompt)
    reply, stack = await _ask(serving, released, body)
    if reply.status_code != 200 or not request.stream:
        await stack.aclose()
        return _passed_on(reply.status_code, reply.content)
    return _Streamed(reply, stack, serving.config.answers.stream_seconds)


async def _agent_itself(
    serving: Services, released: ReleasedAgent, request: CompletionRequest
) -> Response:
    answer = await serving.answering.answer(released, *as_conversation(request))
    serving.count(answer)
    if not request.stream:
        return JSONResponse(completion(request, answer))
    chunks = [json.dumps(chunk) for chunk in completion_chunks(request, answer)]
    events = [format_sse_event(data_str=text) for text in [*chunks, "[DONE]"]]
    return Response(b"".join(events), media_type="text/event-stream")


def _model(name: str, entry: Entry) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(datetime.fromisoformat(entry.at).timestamp()),
        "owned_by": "agent-assets",
        "version": entry.name,
    }


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
            name = released.entry.name
            served = await stack.enter_async_context(
                serving.inference.use(base, base_version, name, adapter)
            )
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

    def __init__(self, reply: httpx.Response, stack: AsyncExitStack, seconds: float) -> None:
        super().__init__(_passed(reply))
        self._stack, self._seconds = stack, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._stack:
            # Ended without a last chunk, it does not pass for a whole one.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await super().__call__(scope, receive, send)


async def _passed(reply: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        message = f"The model server went away ({type(error).__name__})."
        yield format_sse_event(data_str=json.dumps(openai_error(503, message, "ask again.")))


def _passed_on(status: int, content: bytes) -> Response:
    """The server's answer; a refusal is the caller's error, a failure of the server is ours."""
    if status == 200:
        return Response(content, media_type="application/json")
    if status == 429 or status >= 500:
        raise ModelUnavailable("The model server failed.", next_step="try again in a minute.")
    message = "The model server refused the request."
    with suppress(ValueError, KeyError, TypeError):
        message = str(json.loads(content)["error"]["message"])[:500]
    return JSONResponse(openai_error(400, message, None), 400)
