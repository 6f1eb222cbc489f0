"""Engines as a Dagster resource."""

from typing import Literal

import dagster as dg

from agent_assets.engines.local import LocalEngines


class EnginesResource(dg.ConfigurableResource[LocalEngines]):
    """Engine programs and inference servers on this machine; see `LocalEngines` for the fields."""

    environments: str
    device: Literal["auto", "cpu", "gpu"]
    home: str

    def create_resource(self, context: dg.InitResourceContext) -> LocalEngines:
        """What `context.resources.engines` is."""
        return LocalEngines(environments=self.environments, device=self.device, home=self.home)
