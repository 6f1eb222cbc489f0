"""An MCP server whose tools are the operations of an HTTP API, described by an OpenAPI document or
served by a FastAPI application. `{"openapi": ...}` and `{"fastapi": ...}` in an mcp_config.json
start it; fastmcp makes the tools.
"""

import importlib
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, redirect_stdout
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import yaml
from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.server.providers.openapi import (
    MCPType,
    OpenAPIResource,
    OpenAPIResourceTemplate,
    OpenAPITool,
)
from fastmcp.utilities.openapi import HTTPRoute
from mcp_types import ToolAnnotations

from agent_assets.settings import whole_environment
from agent_assets.tool_servers.http_api_settings import (
    HttpApiSettings,
    handed_over,
    problem_line,
)

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_TIMEOUT_S = 60.0  # the caller's own is shorter, as a rule
_LARGEST_DOCUMENT = 20_000_000  # bytes; GitHub's document, one of the largest, has 12 million


class NotAnApi(Exception):
    """Why there are no operations to make tools of."""


def main() -> None:
    """Serve the API that the environment names, over stdio."""
    try:
        server = http_api_server(handed_over(whole_environment()))
    except NotAnApi as problem:
        print(problem_line(str(problem)), file=sys.stderr)
        sys.exit(1)
    server.run("stdio", show_banner=False, log_level="ERROR")


def http_api_server(settings: HttpApiSettings) -> FastMCP[Any]:
    """A server with a tool for each chosen operation; GET, HEAD and OPTIONS only read.

    Raises:
        NotAnApi: the document or the application cannot be used, or a pattern fits no operation.
    """
    app = None if settings.fastapi is None else _application(settings.fastapi)
    document = _document(settings) if app is None else app.openapi()
    chosen = _chosen(document, settings)

    def kind(route: HTTPRoute, _: MCPType) -> MCPType:
        taken = (route.method.upper(), route.path) in chosen
        return MCPType.TOOL if taken else MCPType.EXCLUDE

    client = httpx2.AsyncClient(
        base_url="http://fastapi" if app is not None else _base_url(document, settings),
        headers=settings.headers,
        timeout=_TIMEOUT_S,
        # A failure of the application is an answer, with status 500, as over the network.
        transport=None if app is None else httpx2.ASGITransport(app, raise_app_exceptions=False),
    )

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with client:
            if app is None:
                yield {}
            else:
                async with app.router.lifespan_context(app):
                    yield {}

    try:
        return FastMCP.from_openapi(
            document,
            client,
            name="HTTP API",
            route_map_fn=kind,
            mcp_component_fn=_annotate,
            # Documents promise more than their APIs hold; what came is what a model should read.
            validate_output=False,
            lifespan=lifespan,
        )
    except ValueError as error:
        raise NotAnApi(f"the OpenAPI document cannot be read: {str(error)[:300]}") from None


def _annotate(
    route: HTTPRoute, tool: OpenAPITool | OpenAPIResource | OpenAPIResourceTemplate
) -> None:
    method = route.method.upper()
    tool.annotations = ToolAnnotations(
        read_only_hint=method in _READING,
        destructive_hint=None if method in _READING else method != "POST",
    )


def _chosen(document: dict[str, Any], settings: HttpApiSettings) -> set[tuple[str, str]]:
    """Method and path of the operations to take."""
    operations = {
        (method.upper(), path): [
            path,
            f"{method.upper()} {path}",
            *filter(None, [operation.get("operationId")]),
            *operation.get("tags", []),
        ]
        for path, item in document["paths"].items()
        for method, operation in (item.items() if isinstance(item, dict) else ())
        if method in _METHODS and isinstance(operation, dict)
    }
    for pattern in (*settings.include, *settings.exclude):
        if not any(_fits(names, [pattern]) for names in operations.values()):
            raise NotAnApi(
                f"{pattern!r} fits none of its {len(operations)} operations; patterns fit an "
                "operationId, a tag, a path or 'METHOD path', as in 'GET /orders*'"
            )
    chosen = {
        key
        for key, names in operations.items()
        if (not settings.include or _fits(names, settings.include))
        and not _fits(names, settings.exclude)
    }
    if not chosen:
        raise NotAnApi(f"none of its {len(operations)} operations is left")
    return chosen


def _fits(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _base_url(document: dict[str, Any], settings: HttpApiSettings) -> str:
    if settings.base_url is not None:
        return settings.base_url
    servers = document.get("servers") or [{}]
    url = str(servers[0].get("url", "/"))
    for name, variable in (servers[0].get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    if _is_url(settings.openapi):
        url = urljoin(str(settings.openapi), url)  # "/v1" is beside the document
    if not _is_url(url):
        raise NotAnApi("the OpenAPI document names no server; add 'url' to the entry")
    return url


def _document(settings: HttpApiSettings) -> dict[str, Any]:
    assert settings.openapi is not None  # the configuration has one of the two
    text = (
        _downloaded(settings.openapi, settings)
        if _is_url(settings.openapi)
        else _read(settings.openapi)
    )
    try:
        document = json.loads(text)
    except ValueError:
        try:
            # YAML has numbers as keys, and days; JSON has neither.
            document = json.loads(json.dumps(yaml.safe_load(text), default=str))
        except yaml.YAMLError:
            raise NotAnApi("the OpenAPI document is neither JSON nor YAML") from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise NotAnApi("the document has no 'paths': it is not an OpenAPI document")
    if not str(document.get("openapi", "")).startswith("3."):
        version = document.get("swagger") or document.get("openapi")
        raise NotAnApi(f"the document is of version {version}, and OpenAPI 3 is needed: convert it")
    return document


def _downloaded(url: str, settings: HttpApiSettings) -> bytes:
    # A key of the API goes to the host of the API alone.
    same_host = settings.base_url is None or (
        urlsplit(settings.base_url).netloc == urlsplit(url).netloc
    )
    headers = settings.headers if same_host else {}
    try:
        with httpx2.stream(
            "GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=not headers
        ) as response:
            if not response.is_success:
                raise NotAnApi(f"its OpenAPI document answers with status {response.status_code}")
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                _check_size(len(content))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotAnApi(f"its OpenAPI document cannot be fetched: {type(error).__name__}") from None
    return content


def _read(name: str) -> bytes:
    path = Path(name)
    try:
        _check_size(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise NotAnApi(f"the OpenAPI document {name} cannot be read: {error.strerror}") from None


def _check_size(size: int) -> None:
    if size > _LARGEST_DOCUMENT:
        raise NotAnApi(f"the OpenAPI document has more than {_LARGEST_DOCUMENT} bytes")


def _application(name: str) -> FastAPI:
    module, _, attribute = name.partition(":")
    try:
        with redirect_stdout(sys.stderr):  # our own output is the protocol
            app = getattr(importlib.import_module(module), attribute or "app")
    except ModuleNotFoundError as error:
        raise NotAnApi(f"the module {error.name} is not there ({name})") from None
    except AttributeError:
        raise NotAnApi(f"the module {module} has no {attribute or 'app'}") from None
    if not isinstance(app, FastAPI):
        raise NotAnApi(f"{name} is a {type(app).__name__}, not a FastAPI application")
    return app


def _is_url(text: str | None) -> bool:
    return text is not None and text.startswith(("http://", "https://"))


if __name__ == "__main__":
    main()
