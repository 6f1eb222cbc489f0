"""Arguments that every training by ms-swift has in common: nothing is left to guess, fetch or
report elsewhere.
"""

import json
from pathlib import Path
from typing import TypedDict

import torch

from agent_assets.engines.contracts import Precision


class CommonArguments(TypedDict):
    """What `SftArguments` and `RLHFArguments` are both given."""

    model: str
    model_type: str
    template: str
    agent_template: str
    tuner_type: str
    torch_dtype: str
    bf16: bool
    fp16: bool
    attn_impl: str
    use_cpu: bool
    gradient_checkpointing: bool
    optim: str
    learning_rate: float
    seed: int
    data_seed: int
    logging_steps: int
    report_to: list[str]
    check_model: bool
    use_hf: bool
    add_version: bool
    split_dataset_ratio: float
    dataset_num_proc: int
    dataloader_num_workers: int
    dataloader_pin_memory: bool


def common_arguments(
    model_dir: Path, *, precision: Precision, learning_rate: float, seed: int, agent_template: str
) -> CommonArguments:
    """Model, template, LoRA, precision, device and seed."""
    cpu = not torch.cuda.is_available()
    bf16 = precision == "bf16"
    return {
        "model": str(model_dir),
        "model_type": json.loads((model_dir / "config.json").read_text(encoding="utf-8"))[
            "model_type"
        ],
        "template": "chatml",
        "agent_template": agent_template,
        "tuner_type": "lora",
        "torch_dtype": "bfloat16" if bf16 else "float32",
        "bf16": bf16,
        "fp16": False,
        "attn_impl": "sdpa",
        "use_cpu": cpu,
        "gradient_checkpointing": not cpu,
        "optim": "adamw_torch_fused",
        "learning_rate": learning_rate,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "report_to": ["none"],
        "check_model": False,
        "use_hf": True,
        "add_version": False,
        "split_dataset_ratio": 0.0,
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not cpu,
    }
