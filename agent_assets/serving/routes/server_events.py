"""One server-sent event as our routes send it."""

import json
from typing import Any

from fastapi.sse import format_sse_event


def server_event(kind: str, content: dict[str, Any]) -> bytes:
    """The bytes of an event. Its data is JSON on one line, letters as they are."""
    return format_sse_event(event=kind, data_str=json.dumps(content, ensure_ascii=False))
