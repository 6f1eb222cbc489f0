"""Engines as a Dagster resource."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import dagster as dg

from agent_assets.engines.local import LocalEngines


class EnginesResource(dg.ConfigurableResource[LocalEngines]):
    """Engine programs and inference servers on this machine; see `LocalEngines` for the fields."""

    environments: str
    device: Literal["auto", "cpu", "gpu"]
    home: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[LocalEngines]:
        """What `context.resources.engines` is during a run; the device that the run holds is given back at its end."""
        engines = LocalEngines(environments=self.environments, device=self.device, home=self.home)
        try:
            yield engines
        finally:
            engines.run_lease.give_back()
