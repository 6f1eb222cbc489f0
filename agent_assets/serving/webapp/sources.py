"""Where the memories of a pipeline's elders are, for pages that show and change them."""

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from agent_assets.errors import ServingError
from agent_assets.mongo.editing.memory_editor import MemoryEditor
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import ElderRecord, iter_elders
from agent_assets.settings import Settings

if TYPE_CHECKING:
    from agent_assets.automation.planner import Installation


class OpenInstallation:
    """The pipelines and the MongoDB of an installation, opened by the first page that needs
    them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = Lock()
        self._installation: Installation | None = None

    def get(self) -> "Installation":
        """The installation."""
        from agent_assets.automation.planner import load_installation

        with self._opening:
            if self._installation is None:
                self._installation = load_installation(self._settings)
            return self._installation

    def close(self) -> None:
        """Close its connection."""
        with self._opening:
            if self._installation is not None:
                self._installation.mongo.close()


@dataclass(frozen=True)
class ElderMemories:
    """The elders of one pipeline."""

    installation: "Installation"
    layout: MongoLayout
    longest: int

    @property
    def editor(self) -> MemoryEditor:
        """What changes them."""
        return MemoryEditor(self.installation.mongo.db, self.layout, longest=self.longest)

    def read(self, elder_id: str) -> ElderRecord:
        """One elder, who may have told nothing that can be used."""
        db, longest = self.installation.mongo.db, self.longest
        (record,) = iter_elders(db, self.layout, [elder_id], max_answer_chars=longest)
        return record


def elder_memories(opened: OpenInstallation, pipeline: str) -> ElderMemories:
    """Where the elders of a pipeline are.

    Raises:
        ServingError: it has none, or is not defined any more.
    """
    installation = opened.get()
    for graph in installation.graphs:
        if graph.name == pipeline and graph.spec.partitioned:
            settings = graph.spec.config.elder_memories
            layout = MongoLayout.model_validate(settings.layout)
            return ElderMemories(installation, layout, settings.max_answer_chars)
    raise ServingError(
        f"The pipeline {pipeline} has no elders.", next_step="restore its defs.yaml."
    )
