"""The device of one run: taken by its first stage that needs it, given back after the last.

If every stage took the device on its own, a run would queue again behind all others for its merge
and its report, and a backfill of a hundred elders would release nobody until its end.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from agent_assets.engines.devices.gpu import GpuLease


class RunLease:
    """Keeps a lease open from one stage to the next of the same process.

    Set `keep` before a stage that others of its run follow which need the device, too. `new` until
    the first stage.
    """

    def __init__(self) -> None:
        self.new = True
        self.keep = False
        self._held: GpuLease | None = None
        self._stack = ExitStack()

    @contextmanager
    def use(self, take: Callable[[], AbstractContextManager[GpuLease]]) -> Iterator[GpuLease]:
        """The lease that is held, or the one that `take` opens. Given back after the block unless
        `keep` is set and the block went well: the stages after one that failed do not run.
        """
        if self._held is None:
            self._held = self._stack.enter_context(take())
        keep = False
        try:
            yield self._held
            keep = self.keep
        finally:
            if not keep:
                self.give_back()

    def give_back(self) -> None:
        """Give the device back, if it is held."""
        self._held = None
        self._stack.close()
