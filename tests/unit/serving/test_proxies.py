"""Whose share of the limits a request takes, where a proxy passed it on."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from agent_assets.serving.proxies import client_address
from agent_assets.serving_settings import ServingConfig

PROXIES = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def address(peer: str, *forwarded: str, proxies: bool = True) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    request = Request({"type": "http", "client": (peer, 5), "headers": headers})
    return client_address(request, PROXIES if proxies else [])


def test_who_is_no_proxy_of_ours_says_nothing_about_others() -> None:
    assert address("192.0.2.1", "198.51.100.7") == "192.0.2.1"
    assert address("127.0.0.1", "198.51.100.7", proxies=False) == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7:4711"], "198.51.100.7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        # what a client wrote itself stands further left
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (["127.0.0.1, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        # nobody but proxies, and what is no address
        (["10.1.2.3"], "127.0.0.1"),
        (["203.0.113.9, unknown"], "127.0.0.1"),
        (["203.0.113.9, "], "127.0.0.1"),
        ([], "127.0.0.1"),
        # one customer has a whole network of IPv6
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_counts(
    forwarded: list[str], expected: str
) -> None:
    assert address("127.0.0.1", *forwarded) == expected


def test_an_ipv6_peer_counts_as_its_network_and_loopback_as_itself() -> None:
    assert address("2001:db8::1") == address("2001:db8::2") == "2001:db8::/64"
    assert address("::1") == "::1"
    assert address("fd00::1", "198.51.100.7") == "198.51.100.7"


def test_proxies_are_addresses_or_networks() -> None:
    config = ServingConfig.model_validate({"proxies": ["127.0.0.1", "10.0.0.0/8"]})
    assert config.model_dump(mode="json")["proxies"] == ["127.0.0.1/32", "10.0.0.0/8"]
    with pytest.raises(ValidationError):
        ServingConfig.model_validate({"proxies": ["nginx"]})
