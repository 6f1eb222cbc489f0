"""Through what an exam asks an agent: the API of this installation, or a model with the loop, the
limits and the tools that the API would use.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.cli.ask import model_errors, system_prompt_of
from agent_assets.conversations.exam import ExamTurn
from agent_assets.conversations.messages import Message
from agent_assets.errors import ServingError
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactStore

if TYPE_CHECKING:
    import httpx

API = "http://127.0.0.1:8000"  # where `up` and `serve` listen if they are not told otherwise
_TOO_MANY_REQUESTS = 429

Ask = Callable[[ExamTurn], Awaitable[str]]


def released_memories(settings: Settings, name: str) -> Path | None:
    """Folder of the memories that the released agent answers from; None without an elder.

    Raises:
        ServingError: the agent is not released.
        StoreError: its memories are not in the store any more.
    """
    from agent_assets.serving.released import Released

    released = Released(_store(settings))
    agent = released.find(name, lambda _: True)
    has_memories = "memories" in agent.candidate.parts
    return released.part(agent, "memories").path if has_memories else None


def is_served(settings: Settings, pipeline: str, name: str) -> bool:
    """Whether an API answers at the usual address, and with the release that this installation
    has of the agent.
    """
    import httpx

    from agent_assets.release.pointer import current_entry

    entry = current_entry(_store(settings), (pipeline, name))
    if entry is None:
        return False
    try:
        reply = httpx.get(f"{API}/models/{name}", timeout=10)
    except httpx.HTTPError:
        return False
    return reply.status_code == httpx.codes.OK and entry.name in reply.text


def _store(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.store, cache=settings.home / "store-cache")


@asynccontextmanager
async def through_api(api: str, name: str, token: str | None) -> AsyncIterator[Ask]:
    """Ask `/chat`; whoever asks too fast for its rate limit waits.

    Raises:
        ServingError: the API does not answer, or refuses.
    """
    import httpx

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=api, headers=headers, timeout=600) as client:

        async def ask(turn: ExamTurn) -> str:
            body = {
                "elder_id": name,
                "message": turn.question,
                "conversation_history": [message.model_dump() for message in turn.history],
            }
            try:
                reply = await client.post("/chat", json=body)
                while reply.status_code == _TOO_MANY_REQUESTS:
                    await asyncio.sleep(float(reply.headers.get("retry-after", "1")))
                    reply = await client.post("/chat", json=body)
            except httpx.HTTPError as error:
                raise ServingError(
                    f"{api} does not answer ({type(error).__name__}).",
                    next_step="start it with `agent-assets up`, or leave out --api.",
                ) from None
            return _text_of(reply, api)

        yield ask


@asynccontextmanager
async def through_model(
    pipeline: PipelineSpec,
    memories: Path | None,
    *,
    base_url: str,
    model: str,
    key: str,
    logs: Path,
) -> AsyncIterator[Ask]:
    """Ask a model as the API does: same loop, limits, system prompt and tools.

    Raises:
        ToolServerError: a tool server failed.
        LlmUnavailable, LlmRefused: the model does not answer, or not this.
    """
    from agent_assets.agent.answer_turn import (
        answer_turn,
        answering_model,
        conversation,
        recent_messages,
    )
    from agent_assets.serving_settings import load_serving
    from agent_assets.text.answers import final_answer

    settings = load_serving().answers
    system = system_prompt_of(pipeline, memories)
    async with (
        pipeline.tool_servers.open(memories=memories, log_dir=logs) as toolbox,
        answering_model(
            base_url,
            model,
            api_key=key,
            max_tokens=settings.max_tokens,
            timeout_s=settings.seconds,
        ) as chat,
    ):
        tools = sorted(toolbox.tools, key=lambda tool: tool.name)

        async def ask(turn: ExamTurn) -> str:
            history = [Message(message.role, message.content) for message in turn.history]
            recent = recent_messages(history, settings.max_history)
            messages = conversation(system, recent, turn.question)
            with model_errors(base_url, model):
                rollout = await answer_turn(chat, toolbox, messages, tools, settings.limits)
            return final_answer(rollout.messages)

        yield ask


def _text_of(reply: "httpx.Response", api: str) -> str:
    if reply.is_success:
        return str(reply.json()["response"])
    is_json = "json" in reply.headers.get("content-type", "")
    detail = reply.json().get("detail", "") if is_json else ""
    raise ServingError(
        f"{api} answers with status {reply.status_code}. {detail}".strip(),
        next_step="pass --token where the installation has tokens; else read the log of the API.",
    )
