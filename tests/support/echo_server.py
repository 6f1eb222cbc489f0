"""Another inference server than vLLM, as somebody would add one: this file, and one line that
chooses it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from agent_assets.engines.environment import ENGINE_CODE, EngineEnv
from agent_assets.engines.servers.base import ServedModel, ServerCommand
from agent_assets.errors import EngineFailed
from support.command_line import ROOT


class EchoServer:
    """Answers what is in `answer.txt` of a model or adapter. See `programs/echo_server.py`."""

    name = "echo"
    packages = ("echo-server",)
    token_ids_body: Mapping[str, bool] = {}

    def command(self, env: EngineEnv, model: ServedModel, *, host: str, port: int) -> ServerCommand:
        search_path = f"{ROOT}:{ENGINE_CODE}"  # a server of ours lies in the package
        return ServerCommand(
            "tests.support.programs.echo_server",
            [str(port), model.name, str(model.folder)],
            {"PYTHONPATH": search_path},
        )

    def is_over_length(self, message: str) -> bool:
        return "too long" in message

    def load_adapter(self, base_url: str, name: str, folder: Path) -> None:
        self._ask("PUT", base_url, name, str(folder))

    def unload_adapter(self, base_url: str, name: str) -> None:
        self._ask("DELETE", base_url, name, "")

    def _ask(self, method: str, base_url: str, name: str, body: str) -> None:
        reply = httpx.request(
            method, f"{base_url.removesuffix('/v1')}/adapters/{name}", content=body, timeout=30
        )
        if reply.status_code != 200:
            raise EngineFailed(
                f"{method} of {name}: status {reply.status_code}.", next_step="read its log."
            )


def standard_library_environment(folder: Path) -> Path:
    """A folder of engine environments whose only one holds Python, and what comes with it."""
    python = folder / "cpu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    (folder / "cpu" / "lib" / "python3.11" / "site-packages" / "echo_server-1.5.dist-info").mkdir(
        parents=True
    )
    return folder
