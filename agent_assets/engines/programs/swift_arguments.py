"""Arguments that every training by ms-swift has in common: nothing is left to guess, fetch or report elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def common_arguments(settings: Mapping[str, Any], *, agent_template: str) -> dict[str, Any]:
    """Model, template, LoRA, precision, device and seed, for `SftArguments` and `RLHFArguments`.

    Args:
        settings: model_dir, precision ("bf16" | "fp32"), learning_rate, seed.
    """
    cpu = not torch.cuda.is_available()
    bf16 = settings["precision"] == "bf16"
    model_dir = Path(settings["model_dir"])
    return {
        "model": str(model_dir),
        "model_type": json.loads((model_dir / "config.json").read_text(encoding="utf-8"))["model_type"],
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
        "learning_rate": float(settings["learning_rate"]),
        "seed": int(settings["seed"]),
        "data_seed": int(settings["seed"]),
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
