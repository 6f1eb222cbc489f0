"""An MCP server as a process behind a port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent_assets.free_ports import free_port
from support.waiting import wait_for


@contextmanager
def listening_server(
    arguments: Sequence[str], transport: str, **variables: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `python ARGUMENTS` with sse or http on a free port; its URL and its process."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *arguments, "--transport", transport, "--port", str(port)],
        env=os.environ | variables,
    )
    try:
        wait_for(lambda: _answers(process, port), 60)
        yield f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}", process
    finally:
        process.kill()
        process.wait()


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
