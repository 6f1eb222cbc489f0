"""Limits of one HTTP connection, so that nobody holds more of a listener than others can spare.

uvicorn bounds headers (with h11, not with httptools) and how long a connection may lie idle after
an answer. It waits forever for a request that never ends, and for a client that never reads.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from agent_assets.serving.proxies import is_proxy
from agent_assets.serving_settings import ConnectionLimits, Network

log = logging.getLogger("agent_assets.serving")
# What the kernel keeps for a client that does not read. It would let that grow to megabytes, which
# is so many answers made for nobody.
_SEND_BYTES = 128 * 1024
_REQUEST, _RESPONSE, _STALLED, _CLOSING = "request", "response", "stalled", "closing"


class BoundedConnection(H11Protocol):
    """A connection of uvicorn's within limits; see `connections_within`."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    proxies: ClassVar[tuple[Network, ...]] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and wait for its first request."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting_since: float | None = time.monotonic()
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        if not self._has_place():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections; try again later.")
            return
        self._start(_REQUEST, self.limits.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting it."""
        self._stop(*self._timers)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        if self.transport.is_closing():
            return
        if self._waiting_since is not None:
            self._start(_REQUEST, self.limits.request_seconds)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """A response was handed over; the client may still have to take it."""
        self._stop(_RESPONSE)
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """The client takes less than we send."""
        super().pause_writing()
        self._start(_STALLED, self.limits.stall_seconds)

    def resume_writing(self) -> None:
        """It took most of what was held back."""
        self._stop(_STALLED)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked."""
        super().timeout_keep_alive_handler()
        # Closed, it would still wait for a client that does not take what is left.
        self._start(_CLOSING, self.limits.stall_seconds)

    def handle_websocket_upgrade(self, event: object) -> None:
        """Websockets have limits of their own."""
        self._stop(*self._timers)
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]

    def _follow(self) -> None:
        """Which timer runs now."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering:
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
            return
        if not self.cycle.more_body:
            self._waiting_since = None
            self._stop(_REQUEST)
            self._start(_RESPONSE, self.limits.response_seconds)

    def _has_place(self) -> bool:
        """Make room for this connection where there is none: those that wait for a request go."""
        address = None if self.client is None else self.client[0]
        others = [
            connection
            for connection in self.connections
            if isinstance(connection, BoundedConnection) and connection is not self
        ]
        same = [
            other for other in others if other.client is not None and other.client[0] == address
        ]
        of_proxy = address is not None and is_proxy(address, self.proxies)
        return (of_proxy or _below(same, self.limits.per_address)) and _below(
            others, self.limits.connections
        )

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\n"
            f"content-type: text/plain\r\ncontent-length: {len(text)}\r\n\r\n"
        )
        self.transport.write((head + text).encode("ascii"))
        self.transport.close()
        self._start(_CLOSING, self.limits.stall_seconds)

    def _start(self, name: str, seconds: float) -> None:
        """Start a timer, unless it runs."""
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, self._ended, name)

    def _stop(self, *names: str) -> None:
        for name in names:
            if name in self._timers:
                self._timers.pop(name).cancel()

    def _ended(self, name: str) -> None:
        del self._timers[name]
        log.info("connection ended", extra={"fields": {"limit": name}})
        answering = self.cycle is not None and not self.cycle.response_complete
        if name == _REQUEST and not answering:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request took too long.")
        else:
            self.transport.abort()


def _below(connections: list[BoundedConnection], limit: int) -> bool:
    """Whether there are fewer than `limit`, if need be after one that waits was ended."""
    if len(connections) < limit:
        return True
    waiting = [
        (connection._waiting_since, id(connection), connection)
        for connection in connections
        if connection._waiting_since is not None and not connection.transport.is_closing()
    ]
    if not waiting:
        return False
    min(waiting)[2].transport.abort()
    return True


def connections_within(
    limits: ConnectionLimits, proxies: Sequence[Network] = ()
) -> type[BoundedConnection]:
    """The connections of one listener, for uvicorn's `http`. A proxy of ours may have as many as
    all of them: it stands for many addresses.
    """
    own = {"limits": limits, "proxies": tuple(proxies)}
    return type("BoundedConnection", (BoundedConnection,), own)
