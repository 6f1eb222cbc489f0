"""`mcp_config.json`: which MCP servers a pipeline uses.

    {"mcpServers": {"local":  {"command": "${python}", "args": ["-m", "my.server"], "env": {},
                               "transport": "stdio"},
                    "remote": {"url": "http://host:8000/sse", "transport": "sse", "disabled":
                    false},
                    "api":    {"openapi": "https://host/openapi.json", "include": ["GET *"]}}}

`${name}` in every text but the description is replaced by the variable of that name, `${env:NAME}`
by an environment variable. Other MCP clients read the file, too, where it has neither these nor
HTTP APIs (http_apis.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from agent_assets.agent.mcp.entries.http_apis import API_KEYS, HttpApi
from agent_assets.agent.mcp.entries.variables import Secrets, Variables
from agent_assets.errors import ConfigError
from agent_assets.strict_model import StrictModel, validation_problems

_ONE_LINE = {"url", "headers", "openapi"}


class ServerConfig(StrictModel):
    """One server: either a command that is started here (stdio), or a url that is connected to
    (sse, http).
    """

    command: str | None = None
    args: list[str] = Field([])
    env: dict[str, str] = Field({}, repr=False)
    cwd: str | None = None
    url: str | None = Field(None, repr=False)
    headers: dict[str, str] = Field({}, repr=False)
    transport: Literal["stdio", "sse", "http", "streamable-http"] | None = None
    type: Literal["stdio", "sse", "http", "streamable-http"] | None = Field(
        None, description="as `transport`"
    )
    description: str = ""
    disabled: bool = False

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has either 'command' (stdio) or 'url' (sse, http)")
        if self.transport is not None and self.type is not None and self.transport != self.type:
            raise ValueError(f"transport is '{self.transport}' and type is '{self.type}'")
        if (self.way == "stdio") != (self.command is not None):
            raise ValueError(
                f"transport '{self.way}' needs '{'command' if self.way == 'stdio' else 'url'}'"
            )
        return self

    @property
    def way(self) -> Literal["stdio", "sse", "http"]:
        """The transport; where none is given, a command means stdio, and a url that ends in /sse
        means sse.
        """
        transport = self.transport or self.type
        if transport is None:
            sse = self.url is not None and self.url.rstrip("/").endswith("/sse")
            return "stdio" if self.command is not None else "sse" if sse else "http"
        return "http" if transport == "streamable-http" else transport


class ApiServer(ServerConfig):
    """A server of ours that stands for an HTTP API.

    Args:
        max_tools: more of them are too many for a model to choose from.
    """

    max_tools: int


class _File(StrictModel):
    mcpServers: dict[str, Any]  # the key that every MCP client reads


class _Servers(StrictModel):
    mcpServers: dict[str, ServerConfig]


class _Apis(StrictModel):
    mcpServers: dict[str, HttpApi]


Entry: TypeAlias = ServerConfig | HttpApi


@dataclass(frozen=True)
class McpConfig:
    """The servers to use, by name, in file order; those that are disabled are left out.

    Args:
        secrets: what their texts hold of the environment.
    """

    servers: dict[str, ServerConfig]
    secrets: Secrets = field(default_factory=Secrets)


def parse_mcp_config(
    text: str,
    variables: Mapping[str, str],
    *,
    source: str,
    environment: Mapping[str, str] | None = None,
) -> McpConfig:
    """Read the text of an mcp_config.json.

    Args:
        text: the JSON.
        variables: values of `${name}`.
        source: the file's name, for errors.
        environment: values of `${env:NAME}`.

    Raises:
        ConfigError: as `read_entries`; an unknown or missing variable, or no server enabled.
    """
    entries = read_entries(text, source=source)
    enabled = {name: entry for name, entry in entries.items() if not entry.disabled}
    if not enabled:
        raise ConfigError(
            f"{source} has no enabled server.", next_step="add one, or set disabled to false."
        )
    values = Variables(variables, environment or {})
    filled = {name: _filled(entry, values, f"{source}: {name}") for name, entry in enabled.items()}
    servers = {
        name: _served(entry, variables.get("pipeline")) if isinstance(entry, HttpApi) else entry
        for name, entry in filled.items()
    }
    return McpConfig(servers, values.secrets)


def read_entries(text: str, *, source: str) -> dict[str, Entry]:
    """The servers of an mcp_config.json as they are written, disabled ones included.

    Raises:
        ConfigError: not JSON, or a wrong or unknown key.
    """
    try:
        content = json.loads(text, object_pairs_hook=_no_repeats)
    except ValueError as error:
        raise ConfigError(
            f"{source} is not JSON: {error}.", next_step="correct the file."
        ) from None
    try:
        written = _File.model_validate(content).mcpServers
        apis = {name: entry for name, entry in written.items() if _is_api(entry)}
        others = {name: entry for name, entry in written.items() if name not in apis}
        read: dict[str, Entry] = {
            **_Servers.model_validate({"mcpServers": others}).mcpServers,
            **_Apis.model_validate({"mcpServers": apis}).mcpServers,
        }
        return {name: read[name] for name in written}
    except ValidationError as error:
        problems = "; ".join(validation_problems(error, whole="the file"))
        raise ConfigError(
            f"{source} is wrong: {problems}.", next_step="correct the file."
        ) from None


def _is_api(entry: object) -> bool:
    return isinstance(entry, dict) and not API_KEYS.isdisjoint(entry)


def _served(api: HttpApi, folder: str | None) -> ApiServer:
    """The server that stands for an API; files and modules are looked for in `folder`, where the
    entry names none.
    """
    return ApiServer(
        command=api.command[0],
        args=api.command[1:],
        env=api.env | api.settings.environment(),
        cwd=api.cwd or folder,
        max_tools=api.max_tools,
    )


def _filled(entry: Entry, variables: Variables, source: str) -> Entry:
    def fill(value: object, one_line: bool) -> Any:
        if isinstance(value, str):
            return variables.filled(value, source, one_line=one_line)
        if isinstance(value, dict):
            return {key: fill(item, one_line) for key, item in value.items()}
        return [fill(item, one_line) for item in value] if isinstance(value, list) else value

    return entry.model_copy(
        update={key: fill(value, key in _ONE_LINE) for key, value in entry if key != "description"}
    )


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a later key replace an earlier one in silence; of two servers with one name both
    are wanted.
    """
    names = [name for name, _ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the key {repeated[0]!r} stands there twice")
    return dict(pairs)
