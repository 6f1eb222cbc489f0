"""Program `swift_rollout FOLDER`: ms-swift's rollout server, which samples with vLLM for `swift_grpo` on another GPU.

| file | written by | content |
|---|---|---|
| setup.json | caller | model_dir, and max_turns, max_model_len, seed, concurrency of `RlConfig` |
| ready.json | program | url and group_port (where weights come in); the server answers some time after |

It runs until it is ended. Written from the source of ms-swift 4.6.0; it has not run yet.
"""

import json
from pathlib import Path
from typing import Any

from agent_assets.engines.programs.runtime import answer, run_in_folder
from agent_assets.engines.programs.swift_template import register_agent_template

_HOST = "127.0.0.1"
_FIRST_PORT = 8000


def serve(folder: Path) -> None:
    """Serve until the caller ends this process."""
    from swift.arguments import RolloutArguments
    from swift.pipelines.infer.rollout import rollout_main
    from swift.utils import find_free_port

    from agent_assets.engines.programs import grpo_plugin

    setup: dict[str, Any] = json.loads((folder / "setup.json").read_text(encoding="utf-8"))
    model_type = json.loads((Path(setup["model_dir"]) / "config.json").read_text(encoding="utf-8"))["model_type"]
    arguments = RolloutArguments(
        model=str(setup["model_dir"]),
        model_type=model_type,
        template="chatml",
        agent_template=register_agent_template(),
        external_plugins=[grpo_plugin.__file__],
        multi_turn_scheduler=grpo_plugin.NAME,
        max_turns=int(setup["max_turns"]),
        infer_backend="vllm",
        vllm_use_async_engine=True,
        vllm_max_model_len=int(setup["max_model_len"]),
        vllm_max_num_seqs=int(setup["concurrency"]),
        seed=int(setup["seed"]),
        host=_HOST,
        port=_FIRST_PORT,
        check_model=False,
        use_hf=True,
    )
    group_port = find_free_port(arguments.port + 1)
    answer(folder / "ready.json", {"url": f"http://{_HOST}:{arguments.port}", "group_port": group_port})
    rollout_main(arguments)


if __name__ == "__main__":
    run_in_folder(serve)
