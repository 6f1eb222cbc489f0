"""Tools of an HTTP API: which operations become tools, which of them only read, and what is said of
documents that cannot be used.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastmcp import Client

from agent_assets.tool_servers.http_api import NotAnApi, http_api_server
from agent_assets.tool_servers.http_api_settings import (
    HttpApiSettings,
    handed_over,
    problem_in,
    problem_line,
)


def operation(name: str, tag: str = "orders") -> dict[str, Any]:
    number = {"name": "number", "in": "query", "required": True, "schema": {"type": "integer"}}
    return {
        "operationId": name,
        "tags": [tag],
        "summary": f"What {name} does.",
        "parameters": [number],
        "responses": {"200": {"description": "ok"}},
    }


def document(**paths: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "shop", "version": "1"},
        "servers": [{"url": "https://shop.example/v1"}],
        "paths": {f"/{path}": item for path, item in paths.items()},
    }


SHOP = document(
    orders={"get": operation("list_orders"), "post": operation("add_order")},
    bills={"get": operation("list_bills", "bills"), "delete": operation("drop_bills", "bills")},
)


def tools(folder: Path, content: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What the server lists, by name."""
    file = folder / "api.json"
    file.write_text(json.dumps(content), encoding="utf-8")

    async def listed() -> dict[str, Any]:
        server = http_api_server(HttpApiSettings(openapi=str(file), **settings))
        async with Client(server) as client:
            return {tool.name: tool for tool in await client.list_tools()}

    return asyncio.run(listed())


def test_operations_are_tools_and_those_that_get_only_read(tmp_path: Path) -> None:
    listed = tools(tmp_path, SHOP)
    hints = {name: tool.annotations.read_only_hint for name, tool in listed.items()}
    assert hints == {
        "list_orders": True,
        "add_order": False,
        "list_bills": True,
        "drop_bills": False,
    }
    assert listed["drop_bills"].annotations.destructive_hint
    assert listed["list_orders"].description.startswith("What list_orders does.")
    assert listed["list_orders"].input_schema["required"] == ["number"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"include": ("list_*",)}, {"list_orders", "list_bills"}),
        ({"include": ("bills",)}, {"list_bills", "drop_bills"}),
        (
            {"include": ("GET /orders", "/bills"), "exclude": ("DELETE *",)},
            {"list_orders", "list_bills"},
        ),
        ({"exclude": ("bills", "POST *")}, {"list_orders"}),
    ],
)
def test_patterns_choose_operations(
    tmp_path: Path, settings: dict[str, Any], names: set[str]
) -> None:
    assert set(tools(tmp_path, SHOP, **settings)) == names


def test_a_document_of_600_operations_is_listed_whole_and_can_be_narrowed(tmp_path: Path) -> None:
    many = document(**{f"things{n}": {"get": operation(f"get_thing_{n}")} for n in range(600)})
    assert len(tools(tmp_path, many)) == 600
    assert len(tools(tmp_path, many, include=("get_thing_1?",))) == 10


def test_yaml_with_days_and_numbers_as_keys(tmp_path: Path) -> None:
    content = document(orders={"get": operation("list_orders")})
    text = yaml.safe_dump(content).replace("'200'", "200") + "x-released: 2025-01-02\n"
    (tmp_path / "api.yaml").write_text(text, encoding="utf-8")
    http_api_server(HttpApiSettings(openapi=str(tmp_path / "api.yaml")))


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (SHOP, {"include": ("list_order",)}, "'list_order' fits none of its 4 operations"),
        (SHOP, {"exclude": ("*",)}, "none of its 4 operations is left"),
        (SHOP | {"openapi": None, "swagger": "2.0"}, {}, "of version 2.0, and OpenAPI 3 is needed"),
        (SHOP | {"servers": []}, {}, "names no server; add 'url'"),
        ({"hello": 1}, {}, "it is not an OpenAPI document"),
        (SHOP | {"info": 4}, {}, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, content: dict[str, Any], settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotAnApi, match=says.replace("*", r"\*")):
        tools(tmp_path, content, **settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (HttpApiSettings(openapi="absent.json"), "absent.json cannot be read: No such file"),
        (HttpApiSettings(openapi="http://127.0.0.1:9/x"), "cannot be fetched: ConnectError"),
        (HttpApiSettings(fastapi="absent_module:app"), "the module absent_module is not there"),
        (HttpApiSettings(fastapi="json:app"), "the module json has no app"),
        (HttpApiSettings(fastapi="json:dumps"), "is a function, not a FastAPI application"),
    ],
)
def test_what_is_not_there_is_said(settings: HttpApiSettings, says: str) -> None:
    with pytest.raises(NotAnApi, match=says):
        http_api_server(settings)


def test_settings_and_problems_go_between_processes() -> None:
    settings = HttpApiSettings("a.json", None, "http://h", {"K": "v"}, ("a*",), ("b",))
    assert handed_over(settings.environment()) == settings
    assert "headers" not in repr(settings)
    problems = map(problem_line, ("first", "the last,\nin one line"))
    log = "\n".join(["noise", *problems, "noise"])
    assert problem_in(log) == "the last, in one line"
    assert problem_in("noise") is None
