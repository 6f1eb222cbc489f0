"""Work done as another user of the machine, which only root can start."""

import os
from collections.abc import Callable

import pytest

NOBODY = 65534
only_root = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can start a process of another user"
)


def as_another_user(work: Callable[[], object]) -> str:
    """What `work` returns in a process of the user nobody, or the error it ends with, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = str(work())
        except BaseException as error:  # noqa: BLE001  this process has nobody else to tell
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer
