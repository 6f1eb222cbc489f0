"""Messages of an engine program, read from a file in the thread of the step.

Dagster's own reader polls from a thread, takes half a line for a broken message when it reads while a long one is being
written, and puts the text of a program's exception, which may quote training data, into the event log.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import PipesMessageReader
from dagster_pipes import PipesDefaultMessageWriter, PipesParams

if TYPE_CHECKING:
    from dagster._core.pipes.context import PipesMessageHandler


class PolledMessages(PipesMessageReader):
    """Hands the messages in a file to Dagster whenever `poll` is called, and once more at the end of the session."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._handler: PipesMessageHandler | None = None

    @contextmanager
    def read_messages(self, handler: "PipesMessageHandler") -> Iterator[PipesParams]:
        """The session: the file exists, and everything in it has been handed on when the session ends."""
        self._path.write_bytes(b"")
        self._handler = handler
        try:
            yield {
                PipesDefaultMessageWriter.FILE_PATH_KEY: str(self._path),
                PipesDefaultMessageWriter.INCLUDE_STDIO_IN_MESSAGES_KEY: False,
            }
        finally:
            self.poll()
            self._path.unlink()

    def poll(self) -> None:
        """Hand on every complete line that is new."""
        if self._handler is None:
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._position += len(complete)
        for line in complete.splitlines():
            self._handler.handle_message(_without_exception(json.loads(line)))

    def no_messages_debug_text(self) -> str:
        """Shown by Dagster when the program sent nothing."""
        return "The engine program ended before it opened Dagster Pipes."


def _without_exception(message: Any) -> Any:
    if message["method"] == "closed":
        return {**message, "params": {}}
    return message
