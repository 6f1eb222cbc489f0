"""Messages of an engine program within Dagster's session, read in the thread of the step.

Dagster's own reader polls from a thread, takes half a line for a broken message when it reads while
a long one is being written, and puts the text of a program's exception, which may quote training
data, into the event log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dagster import PipesMessageReader
from dagster_pipes import PipesMessage, PipesParams

from agent_assets.engines.launch.messages import Messages

if TYPE_CHECKING:
    from agent_assets.dagster_internals import PipesMessageHandler


class DagsterMessages(PipesMessageReader):
    """`Messages` as Dagster's session wants them. What the program itself says stays here."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._handler: PipesMessageHandler | None = None

    @contextmanager
    def read_messages(self, handler: "PipesMessageHandler") -> Iterator[PipesParams]:
        """The session: everything in the file has been read when it ends, and the file is gone."""
        self._handler = handler
        try:
            yield self._messages.writer_params
        finally:
            self.poll()
            self._messages.path.unlink()

    def poll(self) -> None:
        """Read what is new."""
        for message in self._messages.poll():
            if self._handler is not None:
                self._handler.handle_message(_without_exception(message))

    def no_messages_debug_text(self) -> str:
        """Shown by Dagster when the program sent nothing."""
        return "The engine program ended before it opened Dagster Pipes."


def _without_exception(message: PipesMessage) -> PipesMessage:
    return {**message, "params": {}} if message["method"] == "closed" else message
