"""Program `swift_grpo`: GRPO by ms-swift on an adapter, its rollouts with tools and rewards from
its caller.

Checkpoints are ms-swift's, one a step with the state of optimizer and random numbers: on a CPU a
resumed training ends in the same bytes.
"""

import sys

from agent_assets.conversations.messages import read_json_lines
from agent_assets.engines.programs.runtime import (
    Say,
    facts,
    loaded_weights,
    peak_memory_bytes,
    run_resident,
    weights_sha256,
)
from agent_assets.engines.programs.swift_merge import check_base
from agent_assets.engines.programs.swift_sft import save_adapter
from agent_assets.engines.programs.swift_template import check_template, register_agent_template
from agent_assets.engines.rl_contracts import SWIFT_GRPO, GrpoParams, GrpoReady, GrpoResult


def train_grpo(params: GrpoParams, say: Say) -> None:
    """Train, and leave the adapter in `out_dir`.

    Raises:
        BaseModelError: the base model cannot be trained, or the adapter belongs to another one.
        TrainingDataError: a question does not fit into the context.
        EngineFailed: the loss is NaN or infinite, or rollouts could not go on.
    """
    rows = read_json_lines(params.rows_file)
    check_template(params.model_dir)
    sha256 = weights_sha256(params.model_dir)
    check_base(params.adapter_dir, sha256)
    if not params.vllm and params.rollout_server is None:
        # ms-swift and trl import vLLM wherever they find it: five seconds and 170 MB for nothing.
        sys.modules["vllm"] = None  # type: ignore[assignment]

    from agent_assets.engines.programs.grpo_trainer import Grpo, grpo_arguments

    pipeline = Grpo(grpo_arguments(params, agent_template=register_agent_template()))
    pipeline.check_rows(rows)
    weights = loaded_weights(params.model_dir, pipeline.model)
    say(
        GrpoReady(
            weights_loaded=weights, **facts("torch", "transformers", "peft", "trl", "ms-swift")
        )
    )
    model = pipeline.fit(rows, params.steps, concurrency=params.concurrency)
    save_adapter(model, params.out_dir, sha256)
    say(GrpoResult(peak_memory_bytes()))


if __name__ == "__main__":
    run_resident(SWIFT_GRPO, train_grpo)
