"""Program `swift_rollout`: ms-swift's rollout server, which samples with vLLM for `swift_grpo` on
another GPU.

It runs until it is ended. Written from the source of ms-swift 4.6.0; it has not run yet.
"""

import json

from agent_assets.engines.programs.runtime import Say, run_resident
from agent_assets.engines.programs.swift_template import register_agent_template
from agent_assets.engines.rl_contracts import SWIFT_ROLLOUT, RolloutServerParams, RolloutServerReady

_HOST = "127.0.0.1"
_FIRST_PORT = 8000


def serve_rollouts(params: RolloutServerParams, say: Say) -> None:
    """Serve until the caller ends this process."""
    from swift.arguments import RolloutArguments
    from swift.pipelines.infer.rollout import rollout_main
    from swift.utils import find_free_port

    from agent_assets.engines.programs import grpo_plugin

    model_type = json.loads((params.model_dir / "config.json").read_text(encoding="utf-8"))[
        "model_type"
    ]
    arguments = RolloutArguments(
        model=str(params.model_dir),
        model_type=model_type,
        template="chatml",
        agent_template=register_agent_template(),
        external_plugins=[grpo_plugin.__file__],
        multi_turn_scheduler=grpo_plugin.NAME,
        max_turns=params.max_turns,
        infer_backend="vllm",
        vllm_use_async_engine=True,
        vllm_max_model_len=params.max_model_len,
        vllm_max_num_seqs=params.concurrency,
        seed=params.seed,
        host=_HOST,
        port=_FIRST_PORT,
        check_model=False,
        use_hf=True,
    )
    group_port = find_free_port(arguments.port + 1)
    say(RolloutServerReady(f"http://{_HOST}:{arguments.port}", group_port))
    rollout_main(arguments)


if __name__ == "__main__":
    run_resident(SWIFT_ROLLOUT, serve_rollouts)
