"""The HTTP server of tests that stand in for a service behind a real socket: a model, a judge,
W&B.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LocalHandler(BaseHTTPRequestHandler):
    """Reads and answers JSON, and prints nothing."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """What was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(
        self,
        status: int,
        content: Any,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with bytes as they are, or anything else as JSON."""
        data = (
            content
            if isinstance(content, bytes)
            else json.dumps(content, ensure_ascii=False).encode()
        )
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


class LocalServer(ThreadingHTTPServer):
    """A server on a free loopback port. A client that hangs up, as one does at its time limit, is
    no error of it.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        """The base URL that OpenAI clients take."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Answer during the block."""
        thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Everything but a lost client is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class CountingServer(LocalServer):
    """Counts who asks it for anything: what stands behind a URL that nobody may fetch."""

    def __init__(self) -> None:
        super().__init__(_Counted)
        self.hits = 0


class _Counted(LocalHandler):
    server: CountingServer

    def do_GET(self) -> None:
        """Count, and answer something that is no picture."""
        self.server.hits += 1
        self.reply(200, {"type": "object"})

    do_HEAD = do_POST = do_GET
