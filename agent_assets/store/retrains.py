"""How often a person asked for an agent to be trained anew although nothing had changed.

`<root>/.retrains/<pipeline>.json` holds the number by agent (an elder, or the pipeline's own name).
It enters the fingerprint of the stages that draw at random, and their seed: so an agent that was
never trained anew keeps its fingerprint, and one that was is not taken for what it was before.
"""

from collections.abc import Mapping

from filelock import FileLock
from pydantic import RootModel, ValidationError

from agent_assets.errors import StoreError
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.disk import file_lock
from agent_assets.store.small_files import replace_file

RETRAIN = "retrain"  # the name of the number among the inputs of an artifact
_FOLDER = ".retrains"


class _Counts(RootModel[dict[str, int]]):
    pass


def retrains(store: ArtifactStore, pipeline: str) -> dict[str, int]:
    """Times by agent, of those that were trained anew at all.

    Raises:
        StoreError: the file is damaged.
    """
    path = _path(store, pipeline)
    try:
        return _Counts.model_validate_json(store.filesystem.cat_file(path)).root
    except FileNotFoundError:
        return {}
    except ValidationError:
        raise StoreError(
            f"The record of who was trained anew in {pipeline} cannot be read.",
            next_step=f"restore {path} from a backup, or remove it: those agents are then trained "
            "as if nobody had asked for it.",
        ) from None


def retrain_inputs(store: ArtifactStore, key: ArtifactKey) -> dict[str, str]:
    """What an artifact that draws at random is made from besides its inputs; {} for nearly all."""
    return as_inputs(retrains(store, key.pipeline), key.partition or key.pipeline)


def as_inputs(times: Mapping[str, int], agent: str) -> dict[str, str]:
    """The same from numbers that were read already."""
    return {RETRAIN: str(times[agent])} if times.get(agent) else {}


def count_retrain(store: ArtifactStore, pipeline: str, agent: str) -> int:
    """Have an agent trained anew from now on; returns how often it was asked for."""
    with _lock(store, pipeline):
        times = retrains(store, pipeline)
        times[agent] = times.get(agent, 0) + 1
        _write(store, pipeline, times)
        return times[agent]


def retrained_in(store: ArtifactStore, agent: str) -> list[str]:
    """Pipelines in which an agent was trained anew, sorted."""
    paths = store.filesystem.glob(f"{store.root}/{_FOLDER}/*.json")
    pipelines = sorted(str(path).rsplit("/", 1)[-1].removesuffix(".json") for path in paths)
    return [pipeline for pipeline in pipelines if agent in retrains(store, pipeline)]


def forget_retrains(store: ArtifactStore, agent: str) -> None:
    """Remove an agent from the records of all pipelines."""
    for pipeline in retrained_in(store, agent):
        with _lock(store, pipeline):
            times = retrains(store, pipeline)
            if times.pop(agent, None) is not None:
                _write(store, pipeline, times)


def _write(store: ArtifactStore, pipeline: str, times: dict[str, int]) -> None:
    content = _Counts(dict(sorted(times.items()))).model_dump_json(indent=1)
    replace_file(store, _path(store, pipeline), content.encode())


def _path(store: ArtifactStore, pipeline: str) -> str:
    return f"{store.root}/{_FOLDER}/{pipeline}.json"


def _lock(store: ArtifactStore, pipeline: str) -> FileLock:
    path = store.workspace / ".locks" / f"retrains__{pipeline}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return file_lock(path)
