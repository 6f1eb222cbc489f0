"""The weights that a base model is made from: in a package, or in a folder."""

from collections.abc import Callable
from pathlib import Path

from agent_assets.engines.contracts import PACKAGE_PREFIX
from agent_assets.engines.environment import EngineEnv, site_packages
from agent_assets.errors import BaseModelError
from agent_assets.pickled_weights import NEXT_STEP, pickled_files
from agent_assets.store.manifest import content_version, hash_file, hash_files


def source_weights_hash(source: str, environment: Callable[[], EngineEnv]) -> str:
    """Hash of source weights: the file in a package of the engine environment, or the files of a
    folder.

    Args:
        environment: looked for only where the weights come in a package.

    Raises:
        BaseModelError: there are none, or pickles lie among them.
    """
    if source.startswith(PACKAGE_PREFIX):
        package = source.removeprefix(PACKAGE_PREFIX).replace("-", "_")
        files = sorted(site_packages(environment()).glob(f"{package}/*.gguf"))
        if len(files) == 1:
            return hash_file(files[0]).sha256
        raise BaseModelError(
            f"The package {package} with the base weights is not in the engine environment.",
            next_step="run `agent-assets setup`.",
        )
    folder = Path(source)
    if folder.is_dir() and (pickled := pickled_files(folder)):
        raise BaseModelError(
            f"The base model folder {folder} holds pickles, which can run programs when they are "
            f"read: {', '.join(pickled[:3])}.",
            next_step=NEXT_STEP,
        )
    if not any(folder.glob("*.safetensors")):
        raise BaseModelError(
            f"There are no safetensors in the base model folder {folder}.",
            next_step="put the weights there, or correct base_model.source in defs.yaml.",
        )
    return content_version(hash_files(folder))
