"""What our MCP servers share: the transports of the command line, who is let in over HTTP, and
errors that a model can read.
"""

import argparse
import hmac
import sys

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import ToolResult
from mcp.types import CallToolRequestParams, ToolAnnotations
from pydantic import ValidationError as PydanticValidationError

from agent_assets.settings import secret_variable

READ_ONLY = ToolAnnotations(read_only_hint=True)
TOKEN_VARIABLE = "AGENT_ASSETS_TOOL_TOKEN"
_SHORTEST_TOKEN = 16


class ShortErrors(Middleware):
    """Says what is wrong with the arguments in one line: an observation should cost a model few
    tokens.
    """

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Run the tool; reword what pydantic says of its arguments."""
        try:
            return await call_next(context)
        except ValidationError as error:
            if not isinstance(error.__cause__, PydanticValidationError):
                raise
            problems = error.__cause__.errors(include_url=False, include_input=False)
            lines = [
                f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
                for problem in problems
            ]
            raise ToolError("; ".join(lines)) from None


def new_server(name: str, instructions: str) -> FastMCP[None]:
    """A server without tools yet. Arguments are taken as they are: "5" is not a number."""
    return FastMCP(name, instructions, strict_input_validation=True, middleware=[ShortErrors()])


class OneToken(TokenVerifier):
    """Lets in whoever shows the one token of a server."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who holds the token; None for any other. It takes as long for a wrong one."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token=token, client_id="holder", scopes=[])


def add_transport_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--transport`, `--host`, `--port` and `--allowed-host`."""
    parser.add_argument("--transport", choices=("stdio", "sse", "http"), default="stdio")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address for sse and http (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="port for sse (path /sse) and http (path /mcp)"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients reach it over sse and http, beside localhost and --host; "
        "requests for other names are refused",
    )


def run_server(
    server: FastMCP[None], arguments: argparse.Namespace, *, private: bool = False
) -> None:
    """Answer until the client goes (stdio) or the process is ended.

    Over HTTP a web page reaches loopback, too, under a name of its own (DNS rebinding): requests
    for names that are not ours are refused. A token is asked for where AGENT_ASSETS_TOOL_TOKEN has
    one.

    Args:
        private: what it answers is not for everybody of this machine: over HTTP it does not start
            without a token.
    """
    if arguments.transport == "stdio":
        server.run("stdio", show_banner=False, log_level="WARNING")
        return
    token = secret_variable(TOKEN_VARIABLE) or ""
    if len(token) < _SHORTEST_TOKEN and (token or private):
        what = "is too short" if token else "is not set"
        sys.exit(
            f"error: {TOKEN_VARIABLE} {what}: over {arguments.transport} everybody who reaches "
            "the port could ask. Set it (`openssl rand -hex 32`), and give clients the header "
            "`Authorization: Bearer TOKEN`: in mcp_config.json, under `headers`."
        )
    if token:
        server.auth = OneToken(token)
    server.run(
        arguments.transport,
        show_banner=False,
        log_level="WARNING",
        host=arguments.host,
        port=arguments.port,
        host_origin_protection=True,
        allowed_hosts=arguments.allowed_host,
    )
