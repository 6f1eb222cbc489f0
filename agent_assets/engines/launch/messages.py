"""The one transport between the core and engine programs: Dagster Pipes, by two files in the
program's folder.

Parameters go in as the extra `params` of the Pipes context. What the program says comes out as
custom messages, a line of JSON each, told apart by `kind`: `progress`, `error`, and the answers of
`engines/contracts.py`. A program of a step has Dagster's session around it (`dagster_messages.py`),
one that stays beside a step (`resident.py`) has none: to the program both look the same.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from dagster_pipes import (
    DAGSTER_PIPES_CONTEXT_ENV_VAR,
    DAGSTER_PIPES_MESSAGES_ENV_VAR,
    PipesContextData,
    PipesDefaultContextLoader,
    PipesDefaultMessageWriter,
    PipesMessage,
    PipesParams,
    encode_param,
)

from agent_assets.engines.codec import decode
from agent_assets.engines.contracts import ProgramMessage, ReportedError

A = TypeVar("A", bound=ProgramMessage)
_CUSTOM = "report_custom_message"


class Messages:
    """What a program has said so far. `path` is the file it writes to, empty at first; `program` is
    for errors.
    """

    def __init__(self, path: Path, program: str) -> None:
        self.path, self._program = path, program
        self._position = 0
        self._waiting: dict[str, deque[Mapping[str, object]]] = {}
        path.write_bytes(b"")

    @property
    def writer_params(self) -> PipesParams:
        """What the program's Pipes library has to know to write here."""
        return {
            PipesDefaultMessageWriter.FILE_PATH_KEY: str(self.path),
            PipesDefaultMessageWriter.INCLUDE_STDIO_IN_MESSAGES_KEY: False,
        }

    def poll(self) -> list[PipesMessage]:
        """Read every complete line that is new; keeps what the program says and returns what the
        protocol says.
        """
        with self.path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._position += len(complete)
        messages: list[PipesMessage] = [json.loads(line) for line in complete.splitlines()]
        for message in messages:
            if message["method"] == _CUSTOM:
                payload = (message["params"] or {})["payload"]
                self._waiting.setdefault(str(payload["kind"]), deque()).append(payload)
        return [message for message in messages if message["method"] != _CUSTOM]

    def progress(self) -> Iterator[Mapping[str, object]]:
        """The progress messages that were not taken yet."""
        waiting = self._waiting.get("progress", deque())
        while waiting:
            yield waiting.popleft()

    def take(self, answer: type[A]) -> A | None:
        """The first answer of this kind that was not taken yet; None until there is one.

        Raises:
            EngineFailed: its fields are not those of the class.
        """
        waiting = self._waiting.get(answer.kind)
        if not waiting:
            return None
        payload = {name: value for name, value in waiting.popleft().items() if name != "kind"}
        return decode(answer, payload, program=self._program)

    def reported_error(self) -> ReportedError | None:
        """The error that the program reported before it ended."""
        return self.take(ReportedError)


def pipes_environment(
    messages: Messages, params: dict[str, object], context_path: Path
) -> dict[str, str]:
    """Environment variables of a program without a session of Dagster; writes its parameters to
    `context_path`.
    """
    context: PipesContextData = {
        "asset_keys": None,
        "code_version_by_asset_key": None,
        "provenance_by_asset_key": None,
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "",
        "job_name": None,
        "retry_number": 0,
        "extras": {"params": params},
    }
    context_path.write_text(json.dumps(context), encoding="utf-8")
    return {
        DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param(
            {PipesDefaultContextLoader.FILE_PATH_KEY: str(context_path)}
        ),
        DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param(messages.writer_params),
    }
