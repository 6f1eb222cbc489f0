"""`mcp_config.json`: which MCP servers a pipeline uses. The same file works with the MCP inspector.

    {"mcpServers": {"local":  {"command": "${python}", "args": ["-m", "my.server"], "env": {},
                               "transport": "stdio"},
                    "remote": {"url": "http://host:8000/sse", "transport": "sse", "disabled":
                    false}}}

`${name}` in command, args, env, cwd, url and headers is replaced by the variable of that name,
`${env:NAME}` by an environment variable.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from agent_assets.agent.mcp.variables import Secrets, Variables
from agent_assets.errors import ConfigError
from agent_assets.strict_model import StrictModel, validation_problems

_ONE_LINE = {"url", "headers"}


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


class _File(StrictModel):
    mcpServers: dict[str, ServerConfig]  # the key that every MCP client reads


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
        ConfigError: as `read_servers`; an unknown or missing variable, or no server enabled.
    """
    servers = read_servers(text, source=source)
    enabled = {name: server for name, server in servers.items() if not server.disabled}
    if not enabled:
        raise ConfigError(
            f"{source} has no enabled server.", next_step="add one, or set disabled to false."
        )
    values = Variables(variables, environment or {})
    filled = {
        name: _filled(server, values, f"{source}: {name}") for name, server in enabled.items()
    }
    return McpConfig(filled, values.secrets)


def read_servers(text: str, *, source: str) -> dict[str, ServerConfig]:
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
        return _File.model_validate(content).mcpServers
    except ValidationError as error:
        problems = "; ".join(validation_problems(error, whole="the file"))
        raise ConfigError(
            f"{source} is wrong: {problems}.", next_step="correct the file."
        ) from None


def _filled(server: ServerConfig, variables: Variables, source: str) -> ServerConfig:
    def fill(value: object, one_line: bool) -> Any:
        if isinstance(value, str):
            return variables.filled(value, source, one_line=one_line)
        if isinstance(value, dict):
            return {key: fill(item, one_line) for key, item in value.items()}
        return [fill(item, one_line) for item in value] if isinstance(value, list) else value

    return server.model_copy(
        update={key: fill(value, key in _ONE_LINE) for key, value in server if key != "description"}
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
