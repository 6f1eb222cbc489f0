"""Running servers: adapters in model servers, and tool servers that hold memories."""

from collections.abc import Iterable

from agent_assets.erasure.notices import ask_processes
from agent_assets.erasure.place import Item, Scene

_COUNT_SECONDS, _LET_GO_SECONDS = 30.0, 600.0


class Servers:
    """What the answering processes of this home hold. They let go before the erasure goes on."""

    name = "running servers"

    def items(self, scene: Scene) -> list[Item]:
        """Loaded adapters and open tool servers."""
        elder = scene.request.elder
        held = ask_processes(scene.settings.home, elder, let_go=False, wait_s=_COUNT_SECONDS)
        return [Item(f"adapter or tool server {number}") for number in range(held)]

    def remove(self, scene: Scene) -> None:
        """Let them go; an answer that is being given ends first."""
        ask_processes(scene.settings.home, scene.request.elder, let_go=True, wait_s=_LET_GO_SECONDS)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What is memory of others."""
        yield (
            "the memory of model servers (weights they unloaded and prompts they cached, until "
            "others take the place or they restart)"
        )
        yield (
            "APIs of other hosts that share this store or MongoDB (they refuse the elder from now "
            "on, and free their memory when they restart)"
        )
