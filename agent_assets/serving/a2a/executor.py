"""An A2A task is one answer: of the same agent, with the same tools and limits as in `/chat`."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types.a2a_pb2 import Message, TaskState

from agent_assets.errors import AgentAssetsError, ServingError
from agent_assets.serving.a2a.cards import AGENT_ID
from agent_assets.serving.a2a.memory import BoundedTasks, Conversations
from agent_assets.serving.answering import Answer
from agent_assets.serving.context import Services
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.schemas import MAX_TEXT_CHARS
from agent_assets.serving.tokens import Caller

CALLER = "caller"  # in the state of a call
_STREAMS = ("SendStreamingMessage", "message/stream")
_ARTIFACT = "answer"
_DONE = object()


class AgentAnswers(AgentExecutor):
    """Lets agents answer A2A messages."""

    def __init__(self, services: Services, tasks: BoundedTasks) -> None:
        self._services, self._tasks = services, tasks
        self._conversations = Conversations(services.config.answers.max_history)
        self._going_on: Counter[str] = Counter()

    async def forget(self, agent: str) -> int:
        """Drop what is kept of an agent; returns how much it was."""
        return self._conversations.forget(agent) + await self._tasks.forget(agent)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer one message; what fails is told in the task."""
        if context.message is None or context.task_id is None or context.context_id is None:
            raise ValueError("a message without a task cannot be answered")
        if context.current_task is None:
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
        caller: Caller = context.call_context.state[CALLER]
        updates = TaskUpdater(event_queue, context.task_id, context.context_id)
        self._going_on[caller.id] += 1
        try:
            await updates.start_work()
            await self._answer(context, caller, updates)
        except AgentAssetsError as error:
            text = (
                error.message if error.next_step is None else f"{error.message} {error.next_step}"
            )
            await updates.failed(updates.new_agent_message([new_text_part(text)]))
        finally:
            self._going_on[caller.id] -= 1

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """The SDK ends `execute` itself; here the task is told."""
        assert context.task_id is not None and context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()

    async def _answer(self, context: RequestContext, caller: Caller, updates: TaskUpdater) -> None:
        question = context.get_user_input()
        if context.message is not None and any(
            not part.HasField("text") for part in context.message.parts
        ):
            raise ServingError("Only text is read.", next_step="send parts of text alone.")
        if not question.strip():
            raise ServingError("The message has no text.", next_step="send a part of text.")
        if len(question) > MAX_TEXT_CHARS:
            raise ServingError("The message is too long.", next_step="send a shorter one.")
        # A task goes on when its request has ended: the places of requests do not count it
        most = self._services.config.answers_at_once
        if caller.scope == "elder" and self._going_on[caller.id] > most:
            raise ServingError(
                f"{most} answers are going on for this token.", next_step="wait for one of them."
            )
        released = await asyncio.to_thread(self._agent, context, caller)
        self._tasks.is_for(updates.task_id, released.id)
        said_in = (caller.id, released.id, str(context.context_id))
        before = self._conversations.before(said_in)
        if context.call_context.state.get("method") in _STREAMS:
            answer = await self._streamed(released, question, before, updates)
        else:
            answer = await self._services.answering.answer(released, question, before)
            await _whole(updates, answer)
        self._services.count(answer)
        self._conversations.add(said_in, question, answer.text)
        await updates.update_status(TaskState.TASK_STATE_COMPLETED, metadata=_about(answer))

    def _agent(self, context: RequestContext, caller: Caller) -> ReleasedAgent:
        """Who is asked: the agent of the address or of the metadata, else the caller's elder.

        Raises:
            NotReleased: there is none that the caller may ask.
        """
        state = context.call_context.state
        agent = state.get(AGENT_ID) or _named(context.message) or caller.elder
        if not agent:
            raise ServingError(
                "The message does not say who is asked.",
                next_step=f"name an agent as `{AGENT_ID}` in its metadata.",
            )
        return self._services.find_to_ask(caller, agent)

    async def _streamed(
        self, released: ReleasedAgent, question: str, before: Any, updates: TaskUpdater
    ) -> Answer:
        """Answer, with the text and the tool calls told as they come."""
        shown = ""
        async for kind, content in self._events(released, question, before):
            if kind == "text_chunk":
                text = str(content["text"])
                await _piece(updates, text, append=bool(shown))
                shown += text
            elif kind == "answer":
                answer: Answer = content
                # Text before a tool call, or a thought, is not part of the answer
                if shown != answer.text:
                    await _whole(updates, answer)
            else:
                if kind == "tool_call":
                    shown = ""
                await updates.update_status(TaskState.TASK_STATE_WORKING, metadata={kind: content})
        return answer

    async def _events(
        self, released: ReleasedAgent, question: str, before: Any
    ) -> AsyncIterator[tuple[str, Any]]:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def work() -> None:
            try:
                answer = await self._services.answering.answer(
                    released, question, before, lambda *event: queue.put_nowait(event)
                )
                queue.put_nowait(("answer", answer))
            finally:
                queue.put_nowait(_DONE)

        task = asyncio.create_task(work())
        try:
            while (event := await queue.get()) is not _DONE:
                yield event
            await task
        finally:  # also when the task is cancelled
            task.cancel()
            with suppress(asyncio.CancelledError, AgentAssetsError):
                await task


def _named(message: Message | None) -> str | None:
    """The agent that the metadata of a message name."""
    if message is None or AGENT_ID not in message.metadata.fields:
        return None
    named: str = message.metadata.fields[AGENT_ID].string_value
    return named


async def _piece(updates: TaskUpdater, text: str, *, append: bool) -> None:
    await updates.add_artifact(
        [new_text_part(text)], artifact_id=_ARTIFACT, name=_ARTIFACT, append=append
    )


async def _whole(updates: TaskUpdater, answer: Answer) -> None:
    """The answer, in place of what was shown of it, with what it rests on."""
    await updates.add_artifact(
        [new_text_part(answer.text)],
        artifact_id=_ARTIFACT,
        name=_ARTIFACT,
        metadata=_about(answer),
        append=False,
        last_chunk=True,
    )


def _about(answer: Answer) -> dict[str, Any]:
    return {
        "model_name": answer.model,
        "memory_ids": list(answer.memory_ids),
        "stop_reason": answer.stop_reason,
    }
