"""Whether a code server still has the process that executes code.

`dagster code-server` hands every request on to a child, `dagster api grpc`, so that code can be
loaded anew. It does not notice when that child is killed: it would stay, and answer nothing.
"""

import psutil


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
        try:
            children = psutil.Process(self._pid).children(recursive=True)
            return next((child for child in children if _executes(child)), None)
        except psutil.NoSuchProcess:
            return None


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
