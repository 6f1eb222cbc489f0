"""A test fails when it, or any process it starts, looks a name up or connects outside of loopback:
what people told stays on this machine, and no library asks anybody anything.

All tests run under it. This process is watched by an audit hook; its children, engines, MongoDB
and native code included, by a small library (`recorder.c`) that `LD_PRELOAD` gives them. Without a
C compiler children are not watched, which `test_nothing_leaves.py` reports as skipped.

Not seen: tool servers, which get no variable that their configuration does not name (their own test
does), and programs without libc. Names reserved for examples (RFC 2606) are the tests' own.
"""

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_assets.no_telemetry import send_nothing

_SOURCE = Path(__file__).with_name("recorder.c")
_RESERVED = (".invalid", ".test", ".example", ".localhost", "example.com", "example.org")
_NAMES = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0}
_ADDRESSES = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
# Browsers and the program that steers them: not ours, and they look for their own updates.
_OTHERS = ("chrome", "headless_shell", "chromium", "node")


class Outside:
    """What was asked of the world outside.

    Args:
        folder: which every user of the machine may read: tests start programs as others.
    """

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.log = folder / "outside.log"
        self.log.touch()
        self.log.chmod(0o666)
        self._read = 0
        self.library = _compiled(folder / "recorder.so", self.log)

    def new_lines(self) -> list[str]:
        """What was written down since the last call, without what tests themselves name."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        self._read += len(content)
        return [line for line in content.decode(errors="replace").splitlines() if _matters(line)]

    def note(self, what: str, name: str, port: object) -> None:
        """Write a line, as the library does."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{what}\t{name}\t{port}\tpytest\n")

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook (`sys.addaudithook`) that writes down what this process does."""
        if not event.startswith("socket."):
            return
        if event in _NAMES:
            name = arguments[0]
            name = name.decode() if isinstance(name, bytes) else name
            if isinstance(name, str) and not _is_local_name(name):
                self.note("look-up", name, 0)
        elif event in _ADDRESSES and isinstance(arguments[1], tuple):
            host, port = arguments[1][:2]
            if not _is_loopback(str(host)) and not _is_local_name(str(host)):
                self.note("connect", str(host), port)


def _compiled(library: Path, log: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    command = [compiler, "-shared", "-fPIC", "-O1", f'-DLOG="{log}"', "-o", str(library)]
    subprocess.run([*command, str(_SOURCE), "-ldl"], check=True)
    library.chmod(0o755)
    return library


def _matters(line: str) -> bool:
    _, name, _, program = line.split("\t")
    return not name.lower().rstrip(".").endswith(_RESERVED) and not program.startswith(_OTHERS)


def _is_local_name(name: str) -> bool:
    return name.lower() in {"", "localhost", socket.gethostname().lower()} or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback or address.is_unspecified


def pytest_configure(config: pytest.Config) -> None:
    """Watch this process and its children, before any fixture starts one."""
    send_nothing()
    outside = Outside(Path(tempfile.mkdtemp(prefix="outside-")))
    config.stash[_KEY] = outside
    sys.addaudithook(outside.audit)
    if outside.library is not None:
        os.environ["LD_PRELOAD"] = str(outside.library)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the log and the library."""
    os.environ.pop("LD_PRELOAD", None)
    shutil.rmtree(config.stash[_KEY].log.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def outside(pytestconfig: pytest.Config) -> Outside:
    """What was asked of the world outside so far."""
    return pytestconfig.stash[_KEY]


@pytest.fixture(autouse=True)
def nothing_leaves(outside: Outside) -> Iterator[None]:
    """Fail the test during which something was asked."""
    yield
    lines = outside.new_lines()
    assert not lines, f"asked of the world outside: {lines[:5]}"


_KEY = pytest.StashKey[Outside]()
