"""Program `swift_grpo FOLDER`: GRPO by ms-swift on an adapter, its rollouts with tools and rewards from its caller.

| file | written by | content |
|---|---|---|
| setup.json | caller | see below |
| rows.jsonl | caller | a row in the swift format per group, in the order of use, with its place as `scenario` |
| ready.json | program | weights_loaded, versions, device, peak_memory_bytes |
| result.json | program | peak_memory_bytes; the adapter lies in `adapter` then |
| error.json | program | type, message, next_step of an error a user can act on |

setup.json has model_dir, adapter_dir, checkpoints (folder), resume (a checkpoint there, or null), steps (0: none are
left), vllm (it samples in this process), rollout_server and group_port (or null), and fields of `RlConfig`.

Checkpoints are ms-swift's, one a step with the state of optimizer and random numbers: on a CPU a resumed training ends
in the same bytes.
"""

import json
import sys
from pathlib import Path
from typing import Any

from agent_assets.conversations.messages import read_json_lines
from agent_assets.engines.programs.runtime import answer, facts, loaded_weights, run_in_folder, weights_sha256
from agent_assets.engines.programs.swift_merge import check_base
from agent_assets.engines.programs.swift_sft import save_adapter
from agent_assets.engines.programs.swift_template import check_template, register_agent_template


def train(folder: Path) -> None:
    """Train as setup.json says.

    Raises:
        BaseModelError: the base model cannot be trained, or the adapter belongs to another one.
        TrainingDataError: a question does not fit into the context.
        EngineFailed: the loss is no number, or rollouts could not go on.
    """
    setup: dict[str, Any] = json.loads((folder / "setup.json").read_text(encoding="utf-8"))
    rows = read_json_lines(folder / "rows.jsonl")
    model_dir = Path(setup["model_dir"])
    check_template(model_dir)
    sha256 = weights_sha256(model_dir)
    check_base(Path(setup["adapter_dir"]), sha256)
    if not setup["vllm"] and setup["rollout_server"] is None:
        # ms-swift and trl import vLLM wherever they find it: five seconds and 170 MB for nothing.
        sys.modules["vllm"] = None  # type: ignore[assignment]

    from agent_assets.engines.programs.grpo_trainer import Grpo, grpo_arguments

    pipeline = Grpo(grpo_arguments(setup, folder, agent_template=register_agent_template()))
    pipeline.check_rows(rows)
    known = {"weights_loaded": loaded_weights(model_dir, pipeline.model)}
    answer(folder / "ready.json", known | facts("torch", "transformers", "peft", "trl", "ms-swift"))
    model = pipeline.fit(rows, int(setup["steps"]), concurrency=int(setup["concurrency"]))
    save_adapter(model, folder / "adapter", sha256)
    answer(folder / "result.json", {"peak_memory_bytes": facts()["peak_memory_bytes"]})


if __name__ == "__main__":
    run_in_folder(train)
