"""What names the elder without holding a word of theirs: the partition, and rows of the plan."""

from collections.abc import Iterable

from agent_assets.automation.elders import PARTITIONS
from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.sqlite_files import compact
from agent_assets.planning.history import known_partitions

# Table: the column that names the elder, and one that says what the row is about.
_ROWS = {
    "elders": ("elder", "scope"),
    "requests": ("partition", "pipeline"),
    "materializations": ("partition", "asset"),
}


class Partition:
    """The elder's partition in Dagster."""

    name = "partitions"

    def items(self, scene: Scene) -> list[Item]:
        """One, or none."""
        elder = scene.request.elder
        return [Item(f"partition {elder}")] if elder in self._known(scene) else []

    def remove(self, scene: Scene) -> None:
        """Remove it."""
        if scene.request.elder in self._known(scene):
            scene.instance.delete_dynamic_partition(PARTITIONS, scene.request.elder)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()

    def _known(self, scene: Scene) -> list[str]:
        return known_partitions(scene.instance, PARTITIONS)


class PlanRows:
    """Rows of the plan's index."""

    name = "rows of the plan's index"

    def items(self, scene: Scene) -> list[Item]:
        """The rows."""
        with scene.installation.index.open() as connection:
            return [
                Item(f"{table} {about}")
                for table, (column, subject) in _ROWS.items()
                for (about,) in connection.execute(
                    f"SELECT {subject} FROM {table} WHERE {column} = ?", (scene.request.elder,)
                )
            ]

    def remove(self, scene: Scene) -> None:
        """Delete them, and compact the file."""
        with scene.installation.index.open() as connection:
            for table, (column, _) in _ROWS.items():
                connection.execute(
                    f"DELETE FROM {table} WHERE {column} = ?", (scene.request.elder,)
                )
        path = scene.installation.index.path
        compact(path)
        for damaged in path.parent.glob(f"{path.name}.damaged-*"):
            damaged.unlink()  # it was set aside, and nobody can remove one row of it

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()
