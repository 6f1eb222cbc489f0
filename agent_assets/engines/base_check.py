"""Trying a base model before anything rests on it, in the engine environment that would use it."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_assets.engines.chat_templates.choice import TEMPLATE_FILE
from agent_assets.engines.contracts import BASE_MODEL, BaseModelParams, BaseModelResult
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.launch.resident import run_once

_LIMITS = EngineLimits(seconds=1800, memory_bytes=64 * 2**30)


def inspect_base_model(
    env: EngineEnv, params: BaseModelParams, scratch: Path
) -> tuple[BaseModelResult, str]:
    """Make a base model as the stage `base_model` does, and throw it away.

    Args:
        params: what is asked of it; `out_dir` is not used.
        scratch: folder to work in. Where it lies on the file system of the weights, they are
            linked, not copied.

    Returns:
        What the program found, and the chat template that agents would speak by.

    Raises:
        BaseModelError: agents cannot rest on it; the message says why.
        EngineFailed: the program failed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix=".base-") as work:
        folder = Path(work) / "model"
        asked = replace(params, out_dir=folder)
        result = run_once(
            BASE_MODEL, Path(work) / "logs", asked, env=env, limits=_LIMITS, lease=None
        )
        return result, (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
