"""Which versions of an elder's artifacts hold one memory: all that are not known to be without
it.

A version is known to be without it when it is a list of memories in which the memory is not, or
when everything of the elder's that it was made from is known so: manifests name their inputs by
hash.
"""

from collections.abc import Iterator

from agent_assets.automation.pipelines import Graph
from agent_assets.conversations.memories import MEMORIES_FILE, read_memories
from agent_assets.erasure.place import Scene
from agent_assets.errors import CorruptArtifact
from agent_assets.release.elder_releases import agents_of_elder
from agent_assets.release.pointer import read_ledger
from agent_assets.release.records import STAGE, Agent
from agent_assets.store.artifact_store import Artifact, ArtifactKey
from agent_assets.store.erasable_data import Version, artifact_keys, versions

MEMORIES = "elder_memories"


def versions_with_memory(scene: Scene) -> list[Version]:
    """The versions that hold the memory of a request, or may hold it."""
    return [
        version
        for graph in scene.installation.graphs
        if graph.spec.partitioned
        for version in _of_pipeline(scene, graph)
    ]


def released_with_memory(scene: Scene) -> list[Agent]:
    """Agents that answer with a version that holds the memory, copies included."""
    store, elder = scene.installation.store, scene.request.elder
    held = {
        (version.key.pipeline, version.fingerprint)
        for version in versions_with_memory(scene)
        if version.key.asset == STAGE
    }
    agents = [agent for agent, whole in agents_of_elder(store, elder).items() if whole]
    current = {agent: read_ledger(store, agent).current for agent in agents}
    return [
        agent
        for agent, entry in current.items()
        if entry is not None
        and (
            (agent[0], entry.version) in held
            or store.find(ArtifactKey(agent[0], STAGE, elder), entry.version) is None
        )
    ]


def _of_pipeline(scene: Scene, graph: Graph) -> Iterator[Version]:
    store = scene.installation.store
    without: dict[str, set[str]] = {}  # data versions known to be without it, by asset
    present = [stage.name for stage in graph.stages.values() if graph.partitioned(stage)]
    # What a stage left that was switched off since comes last: nothing present is made from it.
    for asset in dict.fromkeys([*present, *_assets(scene, graph)]):  # parents first
        clean = without.setdefault(asset, set())
        for version in versions(store, ArtifactKey(graph.name, asset, scene.request.elder)):
            try:
                artifact = store.find(version.key, version.fingerprint)
            except CorruptArtifact:
                artifact = None
            if artifact is not None and _is_without(artifact, without, scene.request.memory):
                clean.add(artifact.manifest.data_version)
            else:
                yield version


def _assets(scene: Scene, graph: Graph) -> list[str]:
    """Assets of which the store has something of the elder's."""
    keys = artifact_keys(scene.installation.store, partition=scene.request.elder)
    return [key.asset for key in keys if key.pipeline == graph.name]


def _is_without(artifact: Artifact, without: dict[str, set[str]], memory: str | None) -> bool:
    if artifact.key.asset == MEMORIES:
        if not (artifact.path / MEMORIES_FILE).is_file():
            return False
        return all(entry.memory_id != memory for entry in read_memories(artifact.path))
    made_from = {name: v for name, v in artifact.manifest.inputs.items() if name in without}
    return bool(made_from) and all(v in without[name] for name, v in made_from.items())
