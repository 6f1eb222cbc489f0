"""An agent answers: the agent loop of training and evaluation, over the adapter that is released
and its own tools.

What the user writes and what tools return are messages, never instructions to this program: which
elder's memories can be reached is decided by the process of the tool server, before the
conversation begins.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    NotFoundError,
)

from agent_assets.agent.answer_turn import (
    answer_turn,
    answering_model,
    conversation,
    recent_messages,
)
from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.agent.chat_trace import ChatTrace
from agent_assets.agent.loop import Rollout, StopReason
from agent_assets.agent.tracing import use_tracer
from agent_assets.conversations.messages import Message, ToolSchema
from agent_assets.errors import AgentAssetsError, EngineFailed, ServingError, ToolServerError
from agent_assets.serving.inference import Inference
from agent_assets.serving.model_server import Served
from agent_assets.serving.released import Released, ReleasedAgent
from agent_assets.serving.sessions import ToolSessions, WatchedTools
from agent_assets.serving_settings import AnswerConfig
from agent_assets.store.erasable_data import agent_logs, trace_file
from agent_assets.text.answers import cited_ids, final_answer, offered_ids

if TYPE_CHECKING:
    from agent_assets.agent.mcp.toolbox import Toolbox
    from agent_assets.pipeline.stage import PipelineSpec

log = logging.getLogger("agent_assets.serving")
Emit = Callable[[str, dict[str, object]], None]
_ATTEMPTS = 2


class ModelUnavailable(ServingError):
    """The model server did not answer; it is being started again."""


class TooLong(ServingError):
    """The message alone does not fit into the model's context."""


@dataclass(frozen=True)
class Answer:
    """What an agent said, and why it stopped. `memory_ids` are the memories it cites and really was
    given.
    """

    text: str
    model: str
    stop_reason: str
    memory_ids: tuple[str, ...]
    tool_calls: int


class StreamingModel:
    """A chat model that emits its text piece by piece."""

    def __init__(self, model: OpenAIChatModel, emit: Emit) -> None:
        self._model, self._emit = model, emit

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next message of the assistant, emitted as it comes."""
        return await self._model.stream(
            messages, tools, lambda text: self._emit("text_chunk", {"text": text})
        )


class Answering:
    """Lets released agents answer.

    Args:
        pipeline_of: the pipeline (its tools and their configuration) by name.
        logs: folder of logs; what tool servers write lies below it, by agent.
        traced: agents and pipelines whose answers are traced.
    """

    def __init__(
        self,
        released: Released,
        inference: Inference,
        config: AnswerConfig,
        pipeline_of: Callable[[str], "PipelineSpec"],
        logs: Path,
        traced: Collection[str] = (),
    ) -> None:
        self._traced = frozenset(traced)
        self._released, self._inference, self._config = released, inference, config
        self._pipeline_of, self._logs = pipeline_of, logs
        self.sessions = ToolSessions(config.tool_sessions)

    async def warm_up(self) -> None:
        """Have the model server ready before anybody asks, with the first agent's adapter. Without
        agents nothing is done; a failure is logged, and whoever asks first tries again.
        """
        agents = await asyncio.to_thread(self._released.agents)
        try:
            for agent in agents[:1]:
                released = await asyncio.to_thread(self._released.find, agent[1], lambda _: True)
                adapter, base, base_version = await asyncio.to_thread(
                    self._released.adapter, released
                )
                name = released.entry.name
                async with self._inference.use(base, base_version, name, adapter):
                    log.info("model server is ready")
        except AgentAssetsError as error:
            log.error(
                "no warm-up",
                extra={"fields": {"error": type(error).__name__, "detail": error.message}},
            )

    async def answer(
        self,
        released: ReleasedAgent,
        message: str,
        history: Sequence[Message],
        emit: Emit | None = None,
    ) -> Answer:
        """Answer one message. A server that died is started again and asked once more, unless
        something was told.

        Args:
            emit: gets `text_chunk`, `tool_call` and `tool_response` events while the agent works.

        Raises:
            ModelUnavailable: the model server does not answer.
            ToolServerError: the agent's tools do not answer.
            TooLong: the message does not fit.
        """
        if not {released.id, released.agent[0]} & self._traced:
            return await self._answer(released, message, history, emit)
        pipeline, elder = released.agent[0], released.candidate.partition
        trace = ChatTrace({"pipeline": pipeline, "elder": elder or "", "run_id": "chat"})
        try:
            with use_tracer(trace):
                return await self._answer(released, message, history, emit)
        finally:
            path = trace_file(self._released.store, pipeline, elder)
            lost = await asyncio.shield(asyncio.to_thread(trace.write, path))
            if lost:
                log.error("trace is not complete", extra={"fields": {"lost": lost}})

    async def _answer(
        self,
        released: ReleasedAgent,
        message: str,
        history: Sequence[Message],
        emit: Emit | None,
    ) -> Answer:
        recent = recent_messages(history, self._config.max_history)
        emitted = False

        def watch(kind: str, content: dict[str, object]) -> None:
            nonlocal emitted
            if emit is not None:
                emitted = True
                emit(kind, content)

        for attempt in range(_ATTEMPTS + len(recent).bit_length()):
            messages = conversation(released.candidate.system_prompt, recent, message)
            try:
                return await self._once(released, messages, watch, streaming=emit is not None)
            except BadRequestError as error:
                if "context length" not in str(error) and "max_model_len" not in str(error):
                    raise ServingError(
                        "The model server refused the request.", next_step="read its log."
                    ) from None
                if not recent:
                    raise TooLong(
                        "The message is too long for this model.", next_step="send a shorter one."
                    ) from None
                recent = recent[len(recent) // 2 + 1 :]
            except (
                APIConnectionError,
                APITimeoutError,
                APIStatusError,
                EngineFailed,
                ToolServerError,
            ) as error:
                if emitted or attempt + 1 >= _ATTEMPTS:
                    raise _unavailable(error) from None
        raise ModelUnavailable(
            "The model server did not answer.", next_step="try again in a minute."
        )

    async def _once(
        self, released: ReleasedAgent, messages: list[Message], emit: Emit, *, streaming: bool
    ) -> Answer:
        adapter, base, base_version = await asyncio.to_thread(self._released.adapter, released)
        name = released.entry.name
        tools_of, opened = _tools_of(released), partial(self._open_tools, released)
        async with (
            self._inference.use(base, base_version, name, adapter) as served,
            self.sessions.use(tools_of, opened) as box,
        ):
            model = self._model(served)
            asked_model = StreamingModel(model, emit) if streaming else model
            tools = WatchedTools(box, emit)
            try:
                rollout = await answer_turn(
                    asked_model, tools, messages, tools.tools, self._config.limits
                )
            except NotFoundError:
                served.lost()
                raise
        if rollout.stop_reason is StopReason.TIMEOUT:
            raise ModelUnavailable(
                f"The answer took longer than {self._config.seconds:.0f} s.",
                next_step="ask again, or something shorter.",
            )
        return _answer(rollout, len(messages), released)

    def _model(self, served: Served) -> OpenAIChatModel:
        return answering_model(
            served.base_url,
            served.model,
            max_tokens=self._config.max_tokens,
            timeout_s=self._config.seconds,
            max_retries=0,
            http_client=self._inference.client,
        )

    def _open_tools(self, released: ReleasedAgent) -> AbstractAsyncContextManager["Toolbox"]:
        memories = (
            self._released.part(released, "memories").path
            if "memories" in released.candidate.parts
            else None
        )
        pipeline = released.agent[0]
        logs = agent_logs(self._logs, pipeline, released.candidate.partition)
        servers = self._pipeline_of(pipeline).tool_servers
        return servers.open(memories=memories, log_dir=logs, serving=True)


def _tools_of(released: ReleasedAgent) -> str:
    """What the tool servers of a release depend on, as a name. Not the content name: that is the
    adapter's, and another release may have the same adapter and corrected memories.
    """
    memories = released.candidate.parts.get("memories")
    memories_version = "-" if memories is None else memories.fingerprint
    return f"{released.agent[0]}/{released.candidate.partition}/{memories_version}"


def _answer(rollout: Rollout, prompt_messages: int, released: ReleasedAgent) -> Answer:
    new_messages = rollout.messages[prompt_messages:]
    text = final_answer(rollout.messages)
    offered = offered_ids(new_messages)
    return Answer(
        text=text,
        model=released.entry.name,
        stop_reason=str(rollout.stop_reason),
        memory_ids=tuple(sorted(cited_ids(text, offered))),
        tool_calls=sum(message.role == "tool" for message in new_messages),
    )


def _unavailable(error: Exception) -> AgentAssetsError:
    if isinstance(error, EngineFailed | ToolServerError):
        return error
    return ModelUnavailable(
        f"The model server did not answer ({type(error).__name__}).",
        next_step="try again in a minute; GET /health says how it is.",
    )
