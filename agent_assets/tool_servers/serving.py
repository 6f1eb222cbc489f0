"""What our MCP servers share: the transports of the command line, and errors that a model can
read.
"""

import argparse

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import ToolResult
from mcp.types import CallToolRequestParams, ToolAnnotations
from pydantic import ValidationError as PydanticValidationError

READ_ONLY = ToolAnnotations(read_only_hint=True)


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


def add_transport_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--transport`, `--host` and `--port`."""
    parser.add_argument("--transport", choices=("stdio", "sse", "http"), default="stdio")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address for sse and http (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="port for sse (path /sse) and http (path /mcp)"
    )


def run_server(server: FastMCP[None], arguments: argparse.Namespace) -> None:
    """Answer until the client goes (stdio) or the process is ended."""
    if arguments.transport == "stdio":
        server.run("stdio", show_banner=False, log_level="WARNING")
    else:
        server.run(
            arguments.transport,
            show_banner=False,
            log_level="WARNING",
            host=arguments.host,
            port=arguments.port,
        )
