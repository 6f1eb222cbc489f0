"""Answers of language models on disk, one file each, named by the hash of (model, settings,
prompt).

The files hold what was asked about, so they lie where an elder's content is known to lie
(store/erasable_data.py).
"""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agent_assets.conversations.messages import JsonObject


@dataclass(frozen=True)
class AnswerCache:
    """A folder of answers. A file that exists is complete: it is written aside, flushed and
    renamed.
    """

    folder: Path

    @staticmethod
    def key(request: JsonObject) -> str:
        """Hash of a whole request. The order of keys counts: a model reads it."""
        return hashlib.sha256(json.dumps(request, ensure_ascii=False).encode()).hexdigest()

    def read(self, key: str) -> JsonObject | None:
        """The answer to a request, None when it was never given."""
        try:
            return cast(JsonObject, json.loads(self._path(key).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def write(self, key: str, answer: JsonObject) -> None:
        """Keep an answer."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(answer, file)  # as ASCII: half a surrogate pair in it is not UTF-8
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
