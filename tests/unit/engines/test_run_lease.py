"""A run keeps its device from its first stage that needs it to its last."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent_assets.engines.devices.gpu import CPU, GpuLease
from agent_assets.engines.devices.run_lease import RunLease


class Device:
    """Counts how often it is taken, and whether it is held now."""

    def __init__(self) -> None:
        self.taken, self.locked = 0, False

    @contextmanager
    def take(self) -> Iterator[GpuLease]:
        self.taken, self.locked = self.taken + 1, True
        try:
            yield GpuLease(device=CPU, fd=-1, holder="run")
        finally:
            self.locked = False


def test_it_is_taken_once_and_given_back_after_the_last_stage() -> None:
    device, lease = Device(), RunLease()
    for others_follow in (True, True, False):
        lease.keep = others_follow
        with lease.use(device.take):
            assert device.locked
        assert device.locked is others_follow
    assert device.taken == 1


def test_a_stage_that_fails_gives_it_back_at_once() -> None:
    device, lease = Device(), RunLease()
    lease.keep = True
    with pytest.raises(KeyboardInterrupt), lease.use(device.take):
        raise KeyboardInterrupt
    assert not device.locked


def test_a_run_that_ends_early_gives_it_back() -> None:
    device, lease = Device(), RunLease()
    lease.keep = True
    with lease.use(device.take):
        pass
    lease.give_back()
    lease.give_back()
    assert not device.locked
