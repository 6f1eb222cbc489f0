"""Live progress of a stage: lines in the run log, observations of the asset, and a file for other
readers.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg

PROGRESS_FILE = "progress.json"
_EVERY_SECONDS = 10.0


class ProgressReporter:
    """Shows the last of many progress messages every few seconds, and the first of every stage at
    once.

    Args:
        context: of the step that makes the asset.
        folder: where `progress.json` is kept up to date; None writes none.
        every_seconds: shortest time between two lines (and observations).
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        *,
        folder: Path | None,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._context = context
        self._folder = folder
        self._every = every_seconds
        self._shown_at = float("-inf")
        self._stage: str | None = None
        self._stage_began = (0.0, 0.0)
        self._pending: dict[str, str | float] | None = None

    def update(self, message: Mapping[str, object]) -> None:
        """Take a progress message: stage, step, total_steps, loss, tokens (so far), eta_seconds,
        further numbers.
        """
        now = time.monotonic()
        stage, tokens = str(message["stage"]), _number(message.get("tokens"))
        changed = stage != self._stage
        if changed:
            self.flush()
            self._stage, self._stage_began = stage, (now, tokens)
        numbers = {
            name: value
            for name, value in message.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        elapsed, done = now - self._stage_began[0], tokens - self._stage_began[1]
        if done > 0 and elapsed > 0 and "tokens_per_s" not in numbers:
            numbers["tokens_per_s"] = round(done / elapsed, 1)
        self._pending = {"stage": stage, **numbers}
        if changed or now - self._shown_at >= self._every:
            self.flush()

    def steps_of(self, stage: str) -> Callable[[int, int], None]:
        """A function (done, total) that shows the progress of a stage and its time left, from its
        first call on.
        """
        started = 0.0

        def report(done: int, total: int) -> None:
            nonlocal started
            started = started or time.monotonic()
            message: dict[str, object] = {"stage": stage, "step": done, "total_steps": total}
            if done:
                left = (time.monotonic() - started) / done * (total - done)
                message["eta_seconds"] = round(left, 1)
            self.update(message)

        return report

    def flush(self) -> None:
        """Show the last message now, if it was not."""
        if self._pending is None:
            return
        shown, self._pending = self._pending, None
        self._shown_at = time.monotonic()
        self._context.log.info(describe(shown))
        partition = self._context.partition_key if self._context.has_partition_key else None
        self._context.log_event(
            dg.AssetObservation(
                asset_key=self._context.asset_key, partition=partition, metadata=shown
            )
        )
        if self._folder is not None:
            temporary = self._folder / f".{PROGRESS_FILE}"
            temporary.write_text(json.dumps(shown) + "\n", encoding="utf-8")
            temporary.replace(self._folder / PROGRESS_FILE)


def describe(shown: Mapping[str, object]) -> str:
    """One line: `training: step 12/50, loss 0.831, 310 tokens/s, 2 min 5 s left`."""
    parts = []
    if shown.get("total_steps"):
        parts.append(f"step {shown.get('step', 0)}/{shown['total_steps']}")
    parts += [f"{name} {_number(shown[name]):.3f}" for name in ("loss", "reward") if name in shown]
    if "tokens_per_s" in shown:
        parts.append(f"{_number(shown['tokens_per_s']):.0f} tokens/s")
    if "eta_seconds" in shown:
        minutes, seconds = divmod(int(_number(shown["eta_seconds"])), 60)
        parts.append(f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left")
    return str(shown["stage"]) + (f": {', '.join(parts)}" if parts else "")


def _number(value: object) -> float:
    """A number of a message; 0 where there is none."""
    return float(value) if isinstance(value, int | float) else 0.0
