"""Who has the device, who is prepared and waits for it, and who is in the queue: read from
Dagster's runs.

As many runs as there are devices hold one; one more prepares its rows and then waits, asleep, until
a device is free; all others stay in Dagster's queue, where they cost nothing. The pool `gpu` of
dagster.yaml counts them: it holds runs, not steps (`granularity: run`). A run with stages on the
device says its state in its tag `agent_assets/device`:

    waiting, 2 before it     in the queue, or prepared
    preparing                makes what its stages on the device need
    cpu                      holds this device
    cpu, 75 s                held it for that long
"""

import re
import statistics
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterRunStatus

GPU_POOL = "gpu"
DEVICE_TAG = "agent_assets/device"
PREPARING = "preparing"
WAITING_STAGE = "waiting for the device"
_WAITING = "waiting"
_HELD = re.compile(r", (\d+(?:\.\d+)?) s$")
_PRIORITY_TAG = "dagster/priority"
_MOST = 200  # runs of the queue that are read: the oldest
_ANNOUNCED = 20  # runs of the queue whose tags are kept up to date
_RECENT = 20  # finished runs that the time of a run is estimated from
_UNDER_WAY = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)


@dataclass(frozen=True)
class DeviceQueue:
    """The runs that want the device: ids of those that hold one, then the others in the order in
    which they get one.

    `seconds_per_run` is the median time for which recent runs held a device, None before the first
    one ended. `waiting` ends with the oldest 200 runs of the queue; `more` counts those behind
    them.
    """

    holding: tuple[str, ...]
    waiting: tuple[str, ...]
    more: int
    seconds_per_run: float | None
    devices: int

    def before(self, run_id: str) -> int:
        """How many runs get a device earlier, counting those that have one; of a run far behind, at
        least so many.
        """
        place = self.waiting.index(run_id) if run_id in self.waiting else len(self.waiting)
        return len(self.holding) + place

    def seconds_until(self, run_id: str) -> float | None:
        """About how many seconds until the run gets a device; None when no run has ended yet to
        tell from.
        """
        return self._seconds(self.before(run_id) - len(self.holding))

    @property
    def runs_per_hour(self) -> float | None:
        """At the pace of recent runs, with every device in use."""
        return None if not self.seconds_per_run else 3600 * self.devices / self.seconds_per_run

    @property
    def seconds_left(self) -> float | None:
        """About how many seconds until the last of them has ended."""
        return self._seconds(len(self.waiting) + self.more)

    def _seconds(self, runs: int) -> float | None:
        """Time of so many waiting runs after those that hold a device, which are half done on
        average.
        """
        if self.seconds_per_run is None:
            return None
        return self.seconds_per_run * (len(self.holding) / 2 + runs) / self.devices


def wants_device(run: dg.DagsterRun) -> bool:
    """Whether a run has stages on the device."""
    return run.run_op_concurrency is not None and GPU_POOL in (
        run.run_op_concurrency.all_pools or ()
    )


def holds_device(run: dg.DagsterRun) -> bool:
    """Whether a run that is under way has the device."""
    tag = run.tags.get(DEVICE_TAG, "")
    return bool(tag) and not tag.startswith((_WAITING, PREPARING)) and not _HELD.search(tag)


def is_waiting(run: dg.DagsterRun) -> bool:
    """Whether a run says of itself that it waits for the device."""
    return run.tags.get(DEVICE_TAG, "").startswith(_WAITING)


def had_device(run: dg.DagsterRun) -> bool:
    """Whether a run gave the device back."""
    return _HELD.search(run.tags.get(DEVICE_TAG, "")) is not None


def read_queue(instance: dg.DagsterInstance) -> DeviceQueue:
    """The queue as it is now."""
    under_way = [
        run for run in _runs(instance, *_UNDER_WAY) if wants_device(run) and not had_device(run)
    ]
    queued = [run for run in _runs(instance, DagsterRunStatus.QUEUED) if wants_device(run)]
    total = instance.get_runs_count(dg.RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
    prepared = [run for run in under_way if not holds_device(run)]
    waiting = [
        *prepared,
        *sorted(queued, key=_priority, reverse=True),
    ]  # stable: the oldest first, as Dagster does
    return DeviceQueue(
        holding=tuple(run.run_id for run in under_way if holds_device(run)),
        waiting=tuple(run.run_id for run in waiting),
        more=max(0, total - _MOST),
        seconds_per_run=_seconds_per_run(instance),
        devices=_devices(instance),
    )


def announce(instance: dg.DagsterInstance) -> None:
    """Write into the tags of the first runs in the queue how many are before them: a person reads
    it in the Dagster UI.

    Runs under way say themselves where they stand.
    """
    queue = read_queue(instance)
    first = list(queue.waiting[:_ANNOUNCED])
    if not first:
        return
    for run in instance.get_runs(
        filters=dg.RunsFilter(run_ids=first, statuses=[DagsterRunStatus.QUEUED])
    ):
        text = f"{_WAITING}, {queue.before(run.run_id)} before it"
        if run.tags.get(DEVICE_TAG) != text:
            instance.add_run_tags(run.run_id, {DEVICE_TAG: text})


def note_preparing(instance: dg.DagsterInstance, run_id: str) -> None:
    """A run has begun and will want the device."""
    _tag(instance, run_id, PREPARING)


def note_waiting(instance: dg.DagsterInstance, run_id: str) -> None:
    """A run is prepared and waits for the device."""
    _tag(instance, run_id, f"{_WAITING}, {len(read_queue(instance).holding)} before it")


def note_holding(instance: dg.DagsterInstance, run_id: str, device: str) -> None:
    """A run got the device; those behind it are told where they stand now."""
    _tag(instance, run_id, device)
    announce(instance)


def note_held(instance: dg.DagsterInstance, run_id: str, device: str, seconds: float) -> None:
    """A run gave the device back."""
    _tag(instance, run_id, f"{device}, {seconds:.1f} s")


def _tag(instance: dg.DagsterInstance, run_id: str, text: str) -> None:
    if instance.has_run(run_id):
        instance.add_run_tags(run_id, {DEVICE_TAG: text})


def _runs(instance: dg.DagsterInstance, *statuses: DagsterRunStatus) -> list[dg.DagsterRun]:
    filters = dg.RunsFilter(statuses=list(statuses))
    return list(instance.get_runs(filters=filters, limit=_MOST, ascending=True))


def _priority(run: dg.DagsterRun) -> int:
    try:
        return int(run.tags.get(_PRIORITY_TAG, "0"))
    except ValueError:  # Dagster takes such a run for one without a priority
        return 0


def _seconds_per_run(instance: dg.DagsterInstance) -> float | None:
    ended = instance.get_runs(
        filters=dg.RunsFilter(statuses=[DagsterRunStatus.SUCCESS]), limit=5 * _RECENT
    )
    matches = [
        match
        for run in ended
        if wants_device(run) and (match := _HELD.search(run.tags.get(DEVICE_TAG, "")))
    ]
    return statistics.median(float(match[1]) for match in matches[:_RECENT]) if matches else None


def _devices(instance: dg.DagsterInstance) -> int:
    """How many runs may hold a device at once: the pool has room for one more, which prepares."""
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    return max(1, limits.get(GPU_POOL, 2) - 1)
