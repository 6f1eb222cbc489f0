"""The device of one run: taken by its first stage that needs it, given back after the last.

If every stage took the device on its own, a run would queue again behind all others for its merge
and its report, and a backfill of a hundred elders would release nobody until its end.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from agent_assets.engines.devices.gpu import GpuLease


class RunLease:
    """Keeps a lease open from one stage to the next of the same process.

    Before a stage it is told, by `begin`, which stages of the run need the device. It is kept until
    all of them have begun: Dagster executes stages that do not need each other in any order.
    """

    def __init__(self) -> None:
        self._to_come: set[str] | None = None
        self._held: GpuLease | None = None
        self._stack = ExitStack()

    def begin(self, stage: str, on_device: Collection[str]) -> bool:
        """A stage begins. Returns whether it is the first of its run.

        Args:
            on_device: names of the stages of the run that need the device.
        """
        is_first = self._to_come is None
        if self._to_come is None:
            self._to_come = set(on_device)
        self._to_come.discard(stage)
        return is_first

    @contextmanager
    def use(self, take: Callable[[], AbstractContextManager[GpuLease]]) -> Iterator[GpuLease]:
        """The lease that is held, or the one that `take` opens. Given back after the block unless
        other stages are to come and the block went well: the stages after one that failed do not
        run.
        """
        if self._held is None:
            self._held = self._stack.enter_context(take())
        keep = False
        try:
            yield self._held
            keep = bool(self._to_come)
        finally:
            if not keep:
                self.give_back()

    def give_back(self) -> None:
        """Give the device back, if it is held."""
        self._held = None
        self._stack.close()
