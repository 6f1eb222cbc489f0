"""What an mcp_config.json means decides whether rows are made again, not how it is written."""

import json
from typing import Any

import pytest

from agent_assets.agent.mcp.meaning import meaning_hash

CRM = {"url": "https://crm.example/mcp", "headers": {"Authorization": "Bearer one", "X-Org": "a"}}
LOCAL = {"command": "${python}", "args": ["-m", "server"], "env": {"A": "1", "B": "2"}}


def meaning(servers: dict[str, Any], indent: int | None = None) -> str:
    return meaning_hash(json.dumps({"mcpServers": servers}, indent=indent).encode())


@pytest.mark.parametrize(
    "same",
    [
        {"local": LOCAL, "crm": CRM},
        {"crm": CRM | {"description": "the customers"}, "local": LOCAL | {"transport": "stdio"}},
        {"crm": CRM | {"type": "streamable-http"}, "local": LOCAL, "x": LOCAL | {"disabled": True}},
        {"crm": CRM, "local": LOCAL | {"env": {"B": "2", "A": "1"}, "disabled": False}},
        {"crm": CRM | {"headers": {"authorization": "Bearer two", "x-org": "a"}}, "local": LOCAL},
        {
            "crm": CRM | {"headers": {"Authorization": "Bearer ${env:KEY}", "X-Org": "a"}},
            "local": LOCAL,
        },
    ],
)
def test_the_same_servers_mean_the_same(same: dict[str, Any]) -> None:
    assert meaning(same, indent=4) == meaning({"crm": CRM, "local": LOCAL})


@pytest.mark.parametrize(
    "other",
    [
        {"crm": CRM},
        {"crm": CRM, "renamed": LOCAL},
        {"crm": CRM, "local": LOCAL | {"args": ["server", "-m"]}},
        {"crm": CRM, "local": LOCAL | {"env": {"A": "1", "B": "3"}}},
        {"crm": CRM, "local": LOCAL | {"env": {"A": "1", "B": "${env:B}"}}},
        {"crm": CRM, "local": LOCAL | {"cwd": "/srv"}},
        {"crm": CRM | {"url": "https://crm.example/v2"}, "local": LOCAL},
        {"crm": CRM | {"url": "https://crm.example/mcp?org=a"}, "local": LOCAL},
        {"crm": CRM | {"transport": "sse"}, "local": LOCAL},
        {"crm": CRM | {"headers": {"Authorization": "Bearer one", "X-Org": "b"}}, "local": LOCAL},
    ],
)
def test_other_servers_mean_something_else(other: dict[str, Any]) -> None:
    assert meaning(other) != meaning({"crm": CRM, "local": LOCAL})


def test_keys_in_urls_do_not_count() -> None:
    first = {"s": {"url": "https://ann:one@h/mcp?api_key=1&org=a"}}
    assert meaning(first) == meaning({"s": {"url": "https://ann:two@h/mcp?api_key=2&org=a"}})
    assert meaning(first) != meaning({"s": {"url": "https://ann:one@h/mcp?api_key=1&org=b"}})


def test_what_is_taken_of_an_api_counts() -> None:
    shop = {"openapi": "https://h/openapi.json?token=1", "include": ["b", "a"], "max_tools": 9}
    first = meaning({"s": shop})
    assert first == meaning(
        {"s": {"openapi": "https://h/openapi.json?token=2", "include": ["a", "b"]}}
    )
    assert first != meaning({"s": shop | {"include": ["a"]}})
    assert first != meaning({"s": shop | {"exclude": ["a"]}})
    assert first != meaning({"s": {"fastapi": "https://h/openapi.json", "include": ["a", "b"]}})


def test_a_file_that_cannot_be_read_counts_as_it_is() -> None:
    assert meaning_hash(b"{") != meaning_hash(b"{ ")
    assert meaning_hash(b"\xff") != meaning_hash(b"\xfe")
    assert len(meaning_hash(b"{")) == 32
