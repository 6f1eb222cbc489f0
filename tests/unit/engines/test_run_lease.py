"""A run keeps its device from its first stage that needs it to its last."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations

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


ON_DEVICE = ("sft_adapter", "merged_model", "eval_report")


@pytest.mark.parametrize("order", permutations(ON_DEVICE))
def test_it_is_taken_once_whatever_the_order_and_given_back_after_the_last_stage(
    order: tuple[str, ...],
) -> None:
    device, lease = Device(), RunLease()
    assert lease.begin("train_jsonl", ON_DEVICE)
    for stage in order:
        assert not lease.begin(stage, ON_DEVICE)
        with lease.use(device.take):
            assert device.locked
        assert device.locked is (stage != order[-1])
    assert not lease.begin("release", ON_DEVICE)
    assert device.taken == 1


def test_a_stage_that_fails_gives_it_back_at_once() -> None:
    device, lease = Device(), RunLease()
    lease.begin("sft_adapter", ON_DEVICE)
    with pytest.raises(KeyboardInterrupt), lease.use(device.take):
        raise KeyboardInterrupt
    assert not device.locked


def test_a_run_that_ends_early_gives_it_back() -> None:
    device, lease = Device(), RunLease()
    lease.begin("sft_adapter", ON_DEVICE)
    with lease.use(device.take):
        pass
    assert device.locked
    lease.give_back()
    lease.give_back()
    assert not device.locked
