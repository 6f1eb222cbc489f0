"""The HTTP server of tests that stand in for a model behind a real socket."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LocalServer(ThreadingHTTPServer):
    """A server on a free loopback port. A client that hangs up, as one does at its time limit, is no error of it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        """The base URL that OpenAI clients take."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Everything but a lost client is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
