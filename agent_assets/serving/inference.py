"""The model server behind the API. One per base model: an adapter is loaded only where the base is
the one it was trained on.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.errors import ServingError
from agent_assets.serving.model_server import ModelServer
from agent_assets.serving_settings import InferenceConfig

if TYPE_CHECKING:
    import httpx

    from agent_assets.engines.local_engines import LocalEngines


class Inference:
    """The model server of this installation: one base model at a time."""

    def __init__(self, engines: "LocalEngines", config: InferenceConfig, folder: Path) -> None:
        self._engines, self._config, self._folder = engines, config, folder
        self._server: ModelServer | None = None
        self._client: httpx.AsyncClient | None = None
        self._switching = asyncio.Lock()
        self._switches: set[asyncio.Task[ModelServer]] = set()

    @property
    def current(self) -> ModelServer | None:
        """The server that was used last."""
        return self._server

    @property
    def client(self) -> "httpx.AsyncClient":
        """For requests to model servers: one for all, because making one costs more than asking."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
        return self._client

    async def server(self, base_dir: Path, base_version: str) -> ModelServer:
        """The server of a base model. Another base takes over when nobody is being answered with
        the present one.

        Raises:
            ServingError: the present one is answering or starting.
        """
        present = self._server
        if present is not None and present.base_version == base_version:
            return present
        # A switch that was begun is ended, also when who asked for it leaves: half of one would be
        # a server that is closed, and nobody's.
        switch = asyncio.create_task(self._switch(base_dir, base_version))
        self._switches.add(switch)
        switch.add_done_callback(self._switches.discard)
        return await asyncio.shield(switch)

    async def _switch(self, base_dir: Path, base_version: str) -> ModelServer:
        async with self._switching:
            present = self._server
            if present is not None and present.base_version == base_version:
                return present
            if present is not None:
                if present.busy:
                    raise ServingError(
                        "Agents of another base model are answering, or their server is starting.",
                        next_step="try again; rebuild all agents on one base model to serve them "
                        "side by side.",
                    )
                self._server = None
                await present.close()
            self._server = ModelServer(
                self._engines, self._config, base_dir, base_version, self._folder
            )
            return self._server

    async def close(self) -> None:
        """End what was started."""
        if self._client is not None:
            await self._client.aclose()
        if self._server is not None:
            await self._server.close()
