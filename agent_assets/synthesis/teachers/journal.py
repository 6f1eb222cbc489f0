"""What a teacher has finished, question by question, so that a build that was stopped goes on where
it was.

One line per question, flushed to disk before the next one counts as asked. A line cut by a kill is
dropped and its question asked again; its answers come from the cache. The file is found again by
the fingerprint of the build, so everything a question depends on is the same.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from agent_assets.conversations.messages import (
    JsonObject,
    Message,
    ToolCall,
    canonical_json,
    message_fields,
)
from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.tasks.task import Task
from agent_assets.text.seeds import short_hash

MAX_DEATHS = 2  # of a tool server, on one question


@dataclass(frozen=True)
class _Done:
    messages: tuple[Message, ...]
    rejections: tuple[Rejection, ...]


class Journal:
    """Finished examples, and how often a tool server died on a question.

    Args:
        path: made when the first question is finished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, _Done] = {}
        self._deaths: dict[str, int] = {}
        if path.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._done)

    def find(self, task: Task) -> Example | None:
        """The example of a task, None when it was not finished."""
        done = self._done.get(_key(task))
        return None if done is None else Example(task, done.messages, done.rejections)

    def keep(self, example: Example) -> None:
        """Keep a finished example."""
        entry = {
            "messages": [
                message_fields(replace(message, usage=None)) for message in example.messages
            ],
            "rejections": [
                [rejection.reason, rejection.detail] for rejection in example.rejections
            ],
        }
        self._done[_key(example.task)] = _Done(example.messages, example.rejections)
        self._append({"key": _key(example.task), **entry})

    def deaths(self, task: Task) -> int:
        """How often a tool server died while this task was at work."""
        return self._deaths.get(_key(task), 0)

    def died(self, task: Task) -> None:
        """A tool server died on this task."""
        self._deaths[_key(task)] = self.deaths(task) + 1
        self._append({"key": _key(task), "died": True})

    def _read(self) -> None:
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            entry = json.loads(line)
            if "died" in entry:
                self._deaths[entry["key"]] = self._deaths.get(entry["key"], 0) + 1
            else:
                rejected = tuple(
                    Rejection(RejectReason(reason), detail)
                    for reason, detail in entry["rejections"]
                )
                self._done[entry["key"]] = _Done(tuple(map(_message, entry["messages"])), rejected)
        if torn:
            with self._path.open("r+b") as file:
                file.truncate(len(whole) + (1 if whole else 0))

    def _append(self, entry: JsonObject) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _key(task: Task) -> str:
    """Names a task within its build."""
    system = canonical_json(task.system)
    prompt_hash = short_hash(task.question.text, task.kind, bool(task.tools), system)
    return f"{task.question.id}:{prompt_hash}"


def _message(entry: JsonObject) -> Message:
    return Message(
        **{**entry, "tool_calls": tuple(ToolCall(**call) for call in entry.get("tool_calls", ()))}
    )
