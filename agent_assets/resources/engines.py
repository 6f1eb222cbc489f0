"""Engines as a Dagster resource."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

import dagster as dg

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.resources.fixed import NO_CONFIG


class EnginesResource(dg.ResourceDefinition):
    """`context.resources.engines` is a `LocalEngines`: engine programs and inference servers on
    this machine.

    The device that a run holds is given back at its end.

    Args:
        environments: folder of the engine environments.
        device: what GPU stages use; `auto` is a GPU where there is one.
        home: AGENT_ASSETS_HOME, for leases and logs.
    """

    def __init__(
        self, *, environments: str, device: Literal["auto", "cpu", "gpu"], home: str
    ) -> None:
        @contextmanager
        def opened(_: dg.InitResourceContext) -> Generator[LocalEngines]:
            engines = LocalEngines(environments=environments, device=device, home=home)
            try:
                yield engines
            finally:
                engines.run_lease.give_back()

        super().__init__(
            resource_fn=opened,
            config_schema=NO_CONFIG,
            description="Engine programs and inference servers (AGENT_ASSETS_ENGINES, "
            "AGENT_ASSETS_DEVICE).",
        )
