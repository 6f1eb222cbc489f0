"""Whose process is at the other end of a connection on this machine.

Linux lists both ends of a loopback connection in /proc/net/tcp and tcp6, each with the user of its
socket. Before there are tokens, that tells the owner of this installation from another user of the
machine.
"""

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from agent_assets.errors import ConfigError

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_Address = tuple[str, int]


def owner(client: _Address, server: _Address) -> int | None:
    """User id of the socket at `client` of the connection to `server`; None when it is closed
    already.

    Args:
        client, server: the two ends as the server sees them, (IP address, port).

    Raises:
        ConfigError: this system has no such tables.
    """
    ends = (_end(client), _end(server))
    for local, remote, uid, inode in _connections(client[1], server[1]):
        # A socket that its process has closed lingers with inode 0, and then the user reads 0, too:
        # root's.
        if (local, remote) == ends and inode != 0:
            return uid
    return None


def _connections(
    local_port: int, remote_port: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int], int, int]]:
    """Local end, remote end, user id and inode of the TCP connections of this network namespace
    between two ports.
    """
    local, remote = f":{local_port:04X}", f":{remote_port:04X}"
    for table in _TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            if table is _TABLES[0]:
                raise ConfigError(
                    "This system does not show who owns a connection (no /proc/net/tcp).",
                    next_step="make a token, so that nobody needs to be told apart: "
                    "`agent-assets token create --admin`.",
                ) from None
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split(maxsplit=10)
            if not fields[1].endswith(local) or not fields[2].endswith(remote):
                continue  # ports first: a busy machine has thousands of connections
            yield _listed(fields[1]), _listed(fields[2]), int(fields[7]), int(fields[9])


def _listed(text: str) -> tuple[int, int]:
    """`0100007F:1F90` as (address, port): the kernel prints 32-bit words in the byte order of the
    machine.
    """
    address, port = text.split(":")
    words = [
        int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)
    ]
    return _number(b"".join(words)), int(port, 16)


def _end(address: _Address) -> tuple[int, int]:
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, address[0])
    return _number(packed), address[1]


def _number(packed: bytes) -> int:
    """An address as one number; IPv4 in IPv6 (::ffff:127.0.0.1) is IPv4."""
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return int(address)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
