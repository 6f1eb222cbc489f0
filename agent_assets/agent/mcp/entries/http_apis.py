"""`{"openapi": ...}` and `{"fastapi": ...}` in an mcp_config.json: HTTP APIs whose operations are
tools. Each is started here as an MCP server over stdio, `agent_assets.tool_servers.http_api`.
"""

import sys
from typing import Self

from pydantic import Field, model_validator

from agent_assets.strict_model import StrictModel
from agent_assets.tool_servers.http_api_settings import HttpApiSettings

PROGRAM = "agent_assets.tool_servers.http_api"
API_KEYS = frozenset({"openapi", "fastapi"})


class HttpApi(StrictModel):
    """One API; `include` and `exclude` are patterns that fit an operationId, a tag, a path or
    `METHOD path`.
    """

    openapi: str | None = Field(None, description="URL or file of its OpenAPI 3 document")
    fastapi: str | None = Field(None, description="`module:app`, run in the server's own process")
    url: str | None = Field(None, repr=False, description="of the API, if not as its document says")
    headers: dict[str, str] = Field({}, repr=False)
    include: list[str] = Field([])
    exclude: list[str] = Field([])
    max_tools: int = Field(64, ge=1)
    env: dict[str, str] = Field({}, repr=False)
    cwd: str | None = None
    description: str = ""
    disabled: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.openapi is None) == (self.fastapi is None):
            raise ValueError("an API has either 'openapi' (a document) or 'fastapi' (module:app)")
        if self.fastapi is not None and self.url is not None:
            raise ValueError("'fastapi' runs the application itself and takes no 'url'")
        return self

    @property
    def command(self) -> list[str]:
        """The command line that serves it."""
        return [sys.executable, "-m", PROGRAM]

    @property
    def settings(self) -> HttpApiSettings:
        """What the program is told."""
        return HttpApiSettings(
            self.openapi,
            self.fastapi,
            self.url,
            self.headers,
            tuple(self.include),
            tuple(self.exclude),
        )
