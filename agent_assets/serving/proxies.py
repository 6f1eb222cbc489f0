"""From where a request comes, where a proxy in front of us passes it on.

Every client can write `X-Forwarded-For`. It is read where the connection comes from a proxy that
`proxies` in serving.yaml names, and from its right end: each proxy adds the address that it saw
itself. It decides about shares of limits alone, never about who is let in.
"""

import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from agent_assets.serving_settings import Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# What a proxy adds to a request that it passes on.
_ADDED = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "via",
)
_HOME_BITS = 64  # of an IPv6 address: what one customer has


def is_passed_on(connection: HTTPConnection) -> bool:
    """Whether a proxy says that the request is somebody else's."""
    return any(name in connection.headers for name in _ADDED)


def is_proxy(host: str, proxies: Sequence[Network]) -> bool:
    """Whether a connection from this address is one of our own proxies'."""
    address = _parsed(host)
    return address is not None and _within(address, proxies)


def client_address(connection: HTTPConnection, proxies: Sequence[Network]) -> str:
    """The address whose share of the limits a request takes: of the connection, or the last one in
    `X-Forwarded-For` that is not a proxy of ours. Of IPv6 the network of one customer.
    """
    host = "unknown" if connection.client is None else connection.client.host
    address = _parsed(host)
    if address is None:
        return host
    if _within(address, proxies):
        address = _forwarded(connection, proxies) or address
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.IPv6Network((address, _HOME_BITS), strict=False))
    return str(address)


def _forwarded(connection: HTTPConnection, proxies: Sequence[Network]) -> _Address | None:
    hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    for hop in reversed(hops):
        address = _parsed(hop.strip())
        if address is None or not _within(address, proxies):
            return address  # None: not an address, and what stands before it is no better
    return None


def _parsed(host: str) -> _Address | None:
    """An address as proxies write it, also with a port; IPv4 in IPv6 is IPv4."""
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(address: _Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
