"""Traces that were sent to W&B."""

from collections.abc import Iterable

from agent_assets.erasure.place import Item, Scene

_NOT_SET = "traces that were sent to W&B: TRACES is not wandb here, so that nobody is asked there"
_KEPT = "what W&B itself keeps of deleted calls, its backups, and what was copied from there"


class WandbCalls:
    """The elder's calls at W&B, all of them: also where one memory goes, because what a model said
    of it is not to be told apart.
    """

    name = "traces at W&B"

    def __init__(self) -> None:
        self._deleted: set[str] = set()  # W&B goes on listing them for a while

    def items(self, scene: Scene) -> list[Item]:
        """The calls."""
        return [Item(f"call {call}") for call in self._calls(scene)]

    def remove(self, scene: Scene) -> None:
        """Delete them."""
        from agent_assets.agent.weave_erasure import delete_traced_calls

        calls = self._calls(scene)
        if calls:
            delete_traced_calls(str(scene.settings.wandb_project), calls)
            self._deleted |= set(calls)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What was sent there, where nobody may be asked; else what W&B keeps."""
        yield _NOT_SET if scene.settings.wandb_project is None else _KEPT

    def _calls(self, scene: Scene) -> list[str]:
        from agent_assets.agent.weave_erasure import traced_calls

        project = scene.settings.wandb_project
        if project is None:
            return []
        known = traced_calls(project, scene.request.elder)
        return [call for call in known if call not in self._deleted]
