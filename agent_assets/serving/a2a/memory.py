"""What is kept of A2A in the memory of the process: tasks by owner, and what was said in a context.

Both are bounded, the oldest go first, and nothing of it is written anywhere.
"""

from collections import OrderedDict

from a2a.server.context import ServerCallContext
from a2a.server.tasks.inmemory_task_store import InMemoryTaskStore
from a2a.types.a2a_pb2 import Task

from agent_assets.conversations.messages import Message

_TASKS, _CONTEXTS = 1000, 250
Context = tuple[str, str, str]  # caller, agent, id of the context


class BoundedTasks(InMemoryTaskStore):
    """Tasks of each caller, who sees no others. The oldest are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[str, ServerCallContext] = OrderedDict()
        self._agents: dict[str, str] = {}  # of tasks, as far as somebody was found to ask

    def is_for(self, task_id: str, agent: str) -> None:
        """Note who is asked."""
        self._agents[task_id] = agent

    async def forget(self, agent: str) -> int:
        """Drop the tasks of an agent; returns how many they were."""
        tasks = [task for task, asked in self._agents.items() if asked == agent]
        for task in tasks:
            await self._drop(task, self._kept.pop(task, None))
        return len(tasks)

    async def save(self, task: Task, context: ServerCallContext) -> None:
        """Keep a task, and forget the oldest of too many."""
        await super().save(task, context)
        self._kept.setdefault(task.id, context)
        while len(self._kept) > _TASKS:
            await self._drop(*self._kept.popitem(last=False))

    async def _drop(self, task_id: str, owner: ServerCallContext | None) -> None:
        self._agents.pop(task_id, None)
        if owner is not None:
            await self.delete(task_id, owner)


class Conversations:
    """What was said in each context: a message with a known context id goes on from there."""

    def __init__(self, most_messages: int) -> None:
        self._most = most_messages
        self._said: OrderedDict[Context, tuple[Message, ...]] = OrderedDict()

    def before(self, context: Context) -> tuple[Message, ...]:
        """What was said so far."""
        return self._said.get(context, ())

    def forget(self, agent: str) -> int:
        """Drop what was said to an agent; returns in how many contexts."""
        contexts = [context for context in self._said if context[1] == agent]
        for context in contexts:
            del self._said[context]
        return len(contexts)

    def add(self, context: Context, question: str, answer: str) -> None:
        """Keep a question and its answer."""
        said = (*self.before(context), Message("user", question), Message("assistant", answer))
        self._said[context] = said[-self._most :] if self._most else ()
        self._said.move_to_end(context)
        while len(self._said) > _CONTEXTS:
            self._said.popitem(last=False)
