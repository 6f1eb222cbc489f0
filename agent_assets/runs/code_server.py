"""Where the code server listens, and whether it still has the process that executes code.

`dagster code-server` hands every request on to a child, `dagster api grpc`, so that code can be
loaded anew. It does not notice when that child is killed: it would stay, and answer nothing.
"""

import socket
from pathlib import Path

import psutil
import yaml

from agent_assets.privacy import socket_folder
from agent_assets.process_tree import processes_below
from agent_assets.settings import Settings

_PROBE_SECONDS = 1.0


class CodeServer:
    """A code server that is up.

    Args:
        pid: its process, or one above it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._executing = self._find()

    def executes(self) -> bool:
        """Whether a child that executes code is there; after a reload it is another one."""
        if self._executing is None or gone(self._executing):
            self._executing = self._find()
        return self._executing is not None

    def _find(self) -> psutil.Process | None:
        return next((child for child in processes_below(self._pid) if _executes(child)), None)


def code_server_socket(settings: Settings) -> Path:
    """Where the code server of this home listens. Who reaches it executes what he likes: it is a
    socket in a folder that others cannot enter.
    """
    return socket_folder(settings.home / "run") / "code-server.sock"


def announce_code_server(settings: Settings, location: str) -> Path:
    """Write down for the other services where the code server is going to listen, and return it."""
    socket_path = code_server_socket(settings)
    socket_path.unlink(missing_ok=True)
    server = {"socket": str(socket_path), "location_name": location}
    content = yaml.safe_dump({"load_from": [{"grpc_server": server}]})
    settings.workspace.write_text(content, encoding="utf-8")
    return socket_path


def listens(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket(family) as probe:
        probe.settimeout(_PROBE_SECONDS)
        return probe.connect_ex(address) == 0


def code_server_listens(settings: Settings) -> bool:
    """Whether the code server of this home takes connections: after `up` was killed, the file that
    names it is left.
    """
    return listens(socket.AF_UNIX, str(code_server_socket(settings)))


def _executes(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[3:5] == ["api", "grpc"] and not gone(process)
    except psutil.NoSuchProcess:
        return False


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, also one that nobody has waited for yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
