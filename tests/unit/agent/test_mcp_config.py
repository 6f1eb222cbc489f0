"""mcp_config.json: every transport, `disabled`, variables, and errors that say which key of which
server is wrong.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_assets.agent.mcp.config import ApiServer, McpConfig, parse_mcp_config
from agent_assets.errors import ConfigError
from agent_assets.tool_servers.http_api_settings import handed_over

STDIO = {"command": "python", "args": ["-m", "server"], "transport": "stdio"}


def parse(servers: Any, **variables: str) -> McpConfig:
    return parse_mcp_config(
        json.dumps({"mcpServers": servers}), variables, source="mcp_config.json"
    )


@pytest.mark.parametrize(
    ("server", "way"),
    [
        (STDIO, "stdio"),
        ({"command": "python"}, "stdio"),
        ({"url": "http://h/sse", "transport": "sse", "description": "d", "disabled": False}, "sse"),
        ({"url": "http://h/mcp", "transport": "http"}, "http"),
        ({"url": "http://h/mcp", "type": "streamable-http"}, "http"),
        ({"url": "http://h/sse"}, "sse"),
        ({"url": "http://h/mcp"}, "http"),
    ],
)
def test_transports(server: dict[str, Any], way: str) -> None:
    assert parse({"s": server}).servers["s"].way == way


def test_many_servers_in_order_without_the_disabled() -> None:
    config = parse({"b": STDIO, "off": STDIO | {"disabled": True}, "a": {"url": "http://h"}})
    assert list(config.servers) == ["b", "a"]


def test_variables_are_filled_in_everywhere_and_only_once() -> None:
    server = {
        "command": "${python}",
        "args": ["--x=${x}", "$x"],
        "env": {"K": "${x}${x}"},
        "cwd": "/${x}",
    }
    filled = parse({"s": server}, python="/bin/py", x="${python}").servers["s"]
    assert (filled.command, filled.args, filled.env, filled.cwd) == (
        "/bin/py",
        ["--x=${python}", "$x"],
        {"K": "${python}${python}"},
        "/${python}",
    )
    remote = parse(
        {"s": {"url": "http://${host}/", "headers": {"A": "${host}"}}}, host="h"
    ).servers["s"]
    assert (remote.url, remote.headers) == ("http://h/", {"A": "h"})


def test_a_disabled_server_needs_no_variables() -> None:
    assert list(parse({"on": STDIO, "off": {"command": "${nope}", "disabled": True}}).servers) == [
        "on"
    ]


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        (
            {"s": STDIO | {"comand": "x"}},
            "mcpServers.s: unknown key 'comand': did you mean 'command'?",
        ),
        ({"s": {}}, "either 'command' (stdio) or 'url'"),
        ({"s": STDIO | {"url": "http://h"}}, "either 'command' (stdio) or 'url'"),
        ({"s": {"command": "x", "transport": "sse"}}, "transport 'sse' needs 'url'"),
        ({"s": {"url": "http://h", "transport": "stdio"}}, "transport 'stdio' needs 'command'"),
        ({"s": {"url": "http://h", "transport": "websocket"}}, "mcpServers.s.transport"),
        (
            {"s": {"url": "http://h", "transport": "sse", "type": "http"}},
            "transport is 'sse' and type is 'http'",
        ),
        ({"s": STDIO | {"args": "-m"}}, "mcpServers.s.args"),
        (
            {"s": {"command": "${pyton}"}},
            "s uses the unknown variable ${pyton}. Next: use one of python, or ${env:NAME}",
        ),
        ({"s": STDIO | {"disabled": True}}, "has no enabled server"),
        ({"s": {"openapi": "a.json", "fastapi": "a:app"}}, "either 'openapi' (a document) or"),
        ({"s": {"fastapi": "a:app", "url": "http://h"}}, "takes no 'url'"),
        (
            {"ok": STDIO, "s": {"openapi": "a.json", "includes": ["x"]}},
            "mcpServers.s: unknown key 'includes': did you mean 'include'?",
        ),
        ({}, "has no enabled server"),
        ([], "mcpServers"),
    ],
)
def test_what_is_wrong_is_said(servers: Any, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(servers, python="p")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ('{"servers": {}}', "unknown key 'servers': did you mean 'mcpServers'?"),
        ("[]", "the file"),
        (
            '{"mcpServers": {"s": {"command": "a"}, "s": {"command": "b"}}}',
            "the key 's' stands there twice",
        ),
    ],
)
def test_files_that_are_not_configs(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_mcp_config(text, {}, source="mcp_config.json")
    assert says in str(raised.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    from agent_assets.agent.mcp.toolbox import load_mcp_config

    with pytest.raises(ConfigError, match=r"absent\.json cannot be read"):
        load_mcp_config(tmp_path / "absent.json", {})


TOKEN = "tok-5f1d9a7c3e8b2046"


def parse_with(server: dict[str, Any], **environment: str) -> McpConfig:
    text = json.dumps({"mcpServers": {"s": server}})
    return parse_mcp_config(text, {}, source="mcp_config.json", environment=environment)


def test_a_key_comes_from_the_environment() -> None:
    header = {"url": "http://h/?k=${env:KEY}", "headers": {"Authorization": "Bearer ${env:KEY}"}}
    config = parse_with(header, KEY=TOKEN)
    assert config.servers["s"].headers == {"Authorization": f"Bearer {TOKEN}"}
    assert config.servers["s"].url == f"http://h/?k={TOKEN}"
    assert TOKEN not in repr(config)
    local = parse_with({"command": "x", "env": {"K": "${env:A}-${env:B}"}}, A="1", B="${env:A}")
    assert local.servers["s"].env == {"K": "1-${env:A}"}  # values are not read again


@pytest.mark.parametrize(
    ("server", "environment", "says"),
    [
        (
            {"command": "x", "env": {"K": "${env:CRM_KEY}"}},
            {},
            "s uses ${env:CRM_KEY}, and the environment variable CRM_KEY is not set. "
            "Next: set CRM_KEY",
        ),
        ({"command": "x", "args": ["${env:CRM_KEY}"]}, {"CRM_KEY": ""}, "CRM_KEY is empty"),
        (
            {"url": "http://h", "headers": {"A": "${env:CRM_KEY}"}},
            {"CRM_KEY": f"{TOKEN}\n"},
            "the value of CRM_KEY holds a line break",
        ),
        (
            {"url": "http://h", "headers": {"A": "${env:CRM_KEY}"}},
            {"CRM_KEY": f"{TOKEN}ä"},
            "the value of CRM_KEY holds a line break or another character",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_named_without_its_value(
    server: dict[str, Any], environment: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_with(server, **environment)
    assert says in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_a_disabled_server_needs_no_key() -> None:
    off = {"command": "x", "env": {"K": "${env:CRM_KEY}"}, "disabled": True}
    assert list(parse({"on": STDIO, "off": off}).servers) == ["on"]


def test_what_a_server_repeats_of_a_key_is_hidden() -> None:
    environment = {"KEY": TOKEN, "LONGER": f"{TOKEN}-2", "HOST": "localhost"}
    server = {"command": "x", "args": [f"${{env:{name}}}" for name in environment]}
    secrets = parse_with(server, **environment).secrets
    answer = {f"{TOKEN}": [f"a {TOKEN}-2 b", 4, None], "host": "localhost"}
    assert secrets.hidden_in_answer(answer) == {
        "${env:KEY}": ["a ${env:LONGER} b", 4, None],
        "host": "localhost",  # too short for a key, and a word of its own
    }
    assert secrets.hidden(f"no route to localhost with {TOKEN}") == (
        "no route to ${env:HOST} with ${env:KEY}"
    )


def test_an_http_api_is_a_server_of_ours_that_is_told_its_keys_in_its_environment() -> None:
    servers = {
        "first": STDIO,
        "crm": {
            "openapi": "crm.json",
            "headers": {"Authorization": "Bearer ${env:KEY}"},
            "include": ["GET *"],
            "max_tools": 5,
        },
    }
    config = parse_mcp_config(
        json.dumps({"mcpServers": servers}),
        {"pipeline": "/defs/shop"},
        source="mcp_config.json",
        environment={"KEY": TOKEN},
    )
    assert list(config.servers) == ["first", "crm"]
    crm = config.servers["crm"]
    assert isinstance(crm, ApiServer)
    assert (crm.way, crm.cwd, crm.max_tools) == ("stdio", "/defs/shop", 5)
    assert TOKEN not in " ".join([str(crm.command), *crm.args])
    told = handed_over(crm.env)
    assert (told.openapi, told.include) == ("crm.json", ("GET *",))
    assert told.headers == {"Authorization": f"Bearer {TOKEN}"}
