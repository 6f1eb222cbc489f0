"""Trying a base model before anything rests on it, in the engine environment that would use it."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_assets.engines.codec import decode, encode
from agent_assets.engines.contracts import BaseModelParams, BaseModelResult, ReportedError
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.failures import reported_error
from agent_assets.engines.launch.process import EngineLimits, EngineProcess

_NAME = "check_base"
_MODULE = f"agent_assets.engines.programs.{_NAME}"
_LIMITS = EngineLimits(seconds=1800, memory_bytes=64 * 2**30)


def check_base(env: EngineEnv, params: BaseModelParams, logs: Path) -> tuple[BaseModelResult, str]:
    """Make a base model as the stage `base_model` does, and throw it away.

    Args:
        params: what is asked of it; `out_dir` is not used.
        logs: folder that keeps the log of a program that fails.

    Returns:
        What the program found, and the chat template that agents would speak by.

    Raises:
        BaseModelError: agents cannot rest on it; the message says why.
        EngineFailed: the program failed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    # In the home: weights are linked, not copied, where both lie on one file system.
    with TemporaryDirectory(dir=logs, prefix=".base-") as scratch:
        folder, answer = Path(scratch) / "model", Path(scratch) / "answer.json"
        asked = replace(params, out_dir=folder)
        answer.write_text(json.dumps(encode(asked)), encoding="utf-8")
        log = logs / f"{_NAME}.log"
        log.unlink(missing_ok=True)
        program = EngineProcess.start(
            env,
            _MODULE,
            [str(answer)],
            name=_NAME,
            log_path=log,
            limits=_LIMITS,
            lease=None,
            environment={"CUDA_VISIBLE_DEVICES": ""},
        )
        try:
            code = program.follow()
        finally:
            program.stop()
        if code != 0:
            raise program.failure()
        content = json.loads(answer.read_text(encoding="utf-8"))
        if "next_step" in content:
            raise reported_error(decode(ReportedError, content, program=_NAME))
        result = decode(BaseModelResult, content, program=_NAME)
        return result, (folder / "chat_template.jinja").read_text(encoding="utf-8")
