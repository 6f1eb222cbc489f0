"""Whether what answering needs is there."""

import asyncio
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from agent_assets.errors import AgentAssetsError
from agent_assets.store.artifact_store import ArtifactStore

_PROBE_SECONDS = 2.0
_FRESH_SECONDS = 1.0


class HealthProbe:
    """Asks store, database and Dagster, at most once a second however many want to know."""

    def __init__(
        self, store: ArtifactStore, mongo: Callable[[], object], dagster: Callable[[], object]
    ) -> None:
        def store_answers() -> bool:
            store.filesystem.exists(store.root)
            return True

        self._probes = {"store": store_answers, "mongodb": mongo, "dagster": dagster}
        self._asking = asyncio.Lock()
        self._asked_at = -_FRESH_SECONDS
        self._states: dict[str, str] = {}

    async def states(self) -> dict[str, str]:
        """The state of each: `ok`, `absent`, or `failed` with the class of the error."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= _FRESH_SECONDS:
                states = await asyncio.gather(*map(_probe, self._probes.values()))
                self._states = dict(zip(self._probes, states, strict=True))
                self._asked_at = time.monotonic()
        return self._states

    @property
    def last(self) -> dict[str, str]:
        """The states as they were last asked for; none before the first time."""
        return self._states


async def _probe(work: Callable[[], object]) -> str:
    try:
        done = await asyncio.wait_for(run_in_threadpool(work), _PROBE_SECONDS)
    except (TimeoutError, AgentAssetsError, OSError) as error:
        return f"failed ({type(error).__name__})"
    return "ok" if done is not False else "absent"
