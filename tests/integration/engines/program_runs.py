"""Runs in an engine environment, started by test_programs.py: a line `[function, arguments, file]` calls a function,
writes what it returned to the file as JSON, and is answered with an exit code."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from agent_assets.engines.programs.runtime import prepare_environment


class Crash(Exception):
    pass


def call(program: str, params: dict[str, Any], crash_at_step: int = 0) -> dict[str, Any]:
    """Run a program's core; an error comes back as its type and message. Optionally it dies in the middle."""
    from agent_assets.engines.programs import base_model, swift_merge, swift_sft
    from agent_assets.errors import AgentAssetsError

    core = {"base_model": base_model.prepare, "swift_sft": swift_sft.train, "swift_merge": swift_merge.merge}[program]
    messages: list[dict[str, Any]] = []

    def report(message: dict[str, Any]) -> None:
        messages.append(message)
        if message["step"] == crash_at_step != 0:
            raise Crash

    try:
        return {"result": core(params, report), "messages": messages}
    except Crash:
        return {"messages": messages}
    except AgentAssetsError as error:
        return {"error": type(error).__name__, "message": str(error), "messages": messages}


def render(model_dir: str, rows: list[dict[str, Any]], chats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Token ids of each row as training sees them, which of them are learned, and the ids that serving would make."""
    from swift import get_model_processor, get_template
    from transformers import AutoTokenizer

    from agent_assets.engines.programs.swift_template import register_agent_template

    _, processor = get_model_processor(model_dir, model_type="qwen3", load_model=False)
    template = get_template(
        processor, template_type="chatml", agent_template=register_agent_template(), loss_scale="hermes"
    )
    template.set_mode("train")
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    found = []
    for row, chat in zip(rows, chats, strict=True):
        encoded = template.encode(row)
        served = tokenizer.apply_chat_template(chat["messages"], tools=chat.get("tools"))["input_ids"]
        learned = [token for token in encoded["labels"] if token != -100]
        doubled = [
            token
            for token, label, scale in zip(encoded["input_ids"], encoded["labels"], encoded["loss_scale"], strict=True)
            if label != -100 and scale == 2.0
        ]
        found.append(
            {
                "same": encoded["input_ids"] == served,
                "ids": encoded["input_ids"],
                "mask": [label != -100 for label in encoded["labels"]],
                "trained": tokenizer.decode(encoded["input_ids"]),
                "served": tokenizer.decode(served),
                "learned": tokenizer.decode(learned),
                "doubled": tokenizer.decode(doubled),
            }
        )
    return found


def gradients(model_dir: str) -> dict[str, float]:
    """Largest relative difference of loss and of gradients between peft's layers and ours, in float32."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from agent_assets.engines.programs.cpu_kernels import speed_up

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager")
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(model, config).train()
    ids = torch.randint(0, 49152, (2, 600))  # more than two blocks of keys

    def run() -> dict[str, Any]:
        model.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return found | {"loss": loss.detach()}

    expected = run()
    used = speed_up(model)
    assert used == ["causal_attention", "lora_linear"], used
    got = run()
    assert expected.keys() == got.keys()
    return {
        name: float((got[name] - value).abs().max() / value.abs().max().clamp_min(1e-12))
        for name, value in expected.items()
    }


def _answer(function: str, arguments: list[Any], answer: str) -> int:
    """Call a function in a fork of this process; its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        Path(answer).write_text(json.dumps(globals()[function](*arguments)), encoding="utf-8")
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    prepare_environment()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    import transformers  # noqa: F401  what all programs import, once

    for line in sys.stdin:
        print(_answer(*json.loads(line)), file=replies, flush=True)
