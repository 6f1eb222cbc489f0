"""Whose process is at the other end of a loopback connection, asked of the kernel about real
sockets.
"""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from agent_assets.serving.neighbours import is_loopback, owner
from support.another_user import NOBODY, as_another_user, only_root


@contextmanager
def connected(
    family: socket.AddressFamily, host: str
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the client's and the server's."""
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield client, accepted


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.8.7.6"), (socket.AF_INET6, "::1")],
)
def test_a_connection_of_our_own(family: socket.AddressFamily, host: str) -> None:
    with connected(family, host) as (client, server):
        ends = client.getsockname()[:2], client.getpeername()[:2]
        assert owner(*ends) == os.getuid()
        client.close()
        # What lingers after a close has no owner any more: the table says 0, which is root's
        # number.
        assert owner(*ends) is None
        server.close()


def test_ipv4_inside_ipv6_is_the_same_connection() -> None:
    with connected(socket.AF_INET, "127.0.0.1") as (client, _):
        mapped = [
            (f"::ffff:{host}", port) for host, port in (client.getsockname(), client.getpeername())
        ]
        assert owner(mapped[0], mapped[1]) == os.getuid()


def test_ends_of_no_connection() -> None:
    assert owner(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


@only_root
def test_a_connection_of_another_user() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(as_another_user, lambda: socket.create_connection(address).recv(1))
            accepted, client = listener.accept()
            assert owner(client, address) == NOBODY
            accepted.close()
            assert ended.result(60) == "b''"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
