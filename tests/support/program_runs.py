"""Runs in an engine environment, started by test_programs.py: a line `[function, arguments, file]`
calls a function, writes what it returned to the file as JSON, and is answered with an exit code.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from agent_assets.engines.codec import decode, encode
from agent_assets.engines.contracts import BaseModelParams, MergeParams, SftParams
from agent_assets.engines.programs.runtime import prepare_environment
from agent_assets.engines.rl_contracts import HyperParams, LearnedSequence, LearnRequest


class Crash(Exception):
    pass


def call(program: str, params: dict[str, Any], crash_at_step: int = 0) -> dict[str, Any]:
    """Run a program's core; an error comes back as its type and message. Optionally it dies in the
    middle.
    """
    from agent_assets.engines.programs import base_model, swift_merge, swift_sft
    from agent_assets.errors import AgentAssetsError

    messages: list[dict[str, Any]] = []

    def report(message: dict[str, Any]) -> None:
        messages.append(message)
        if message["step"] == crash_at_step != 0:
            raise Crash

    def run() -> object:
        if program == "base_model":
            return base_model.prepare(decode(BaseModelParams, params, program=program), report)
        if program == "swift_sft":
            return swift_sft.train_sft(decode(SftParams, params, program=program), report)
        return swift_merge.merge(decode(MergeParams, params, program=program), report)

    try:
        return {"result": encode(run()), "messages": messages}
    except Crash:
        return {"messages": messages}
    except AgentAssetsError as error:
        return {"error": type(error).__name__, "message": str(error), "messages": messages}


def render(
    model_dir: str, rows: list[dict[str, Any]], chats: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Token ids of each row as training sees them, which of them are learned, and the ids that
    serving would make.
    """
    from swift import get_model_processor, get_template
    from transformers import AutoTokenizer

    from agent_assets.engines.programs.swift_template import register_agent_template

    _, processor = get_model_processor(model_dir, model_type="qwen3", load_model=False)
    template = get_template(
        processor,
        template_type="chatml",
        agent_template=register_agent_template(),
        loss_scale="hermes",
    )
    template.set_mode("train")
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    renderings = []
    for row, chat in zip(rows, chats, strict=True):
        encoded = template.encode(row)
        served = tokenizer.apply_chat_template(chat["messages"], tools=chat.get("tools"))[
            "input_ids"
        ]
        learned = [token for token in encoded["labels"] if token != -100]
        doubled = [
            token
            for token, label, scale in zip(
                encoded["input_ids"], encoded["labels"], encoded["loss_scale"], strict=True
            )
            if label != -100 and scale == 2.0
        ]
        renderings.append(
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
    return renderings


def in_bfloat16(model_dir: str, out_dir: str) -> None:
    """A copy of a model in the type that most published weights have."""
    import shutil

    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(model_dir, out_dir)
    AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16).save_pretrained(out_dir)


def in_shards(model_dir: str, out_dir: str) -> None:
    """A copy of a model with its weights in several files, as large models are published."""
    import shutil

    from transformers import AutoModelForCausalLM

    shutil.copytree(model_dir, out_dir)
    (Path(out_dir) / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(model_dir).save_pretrained(out_dir, max_shard_size="9MB")


def gradients(model_dir: str) -> dict[str, float]:
    """Largest relative difference of loss and of gradients between peft's layers and ours, in
    float32.
    """
    import torch

    from agent_assets.engines.programs.cpu_kernels import speed_up

    model = _lora_model(model_dir)
    ids = torch.randint(0, 49152, (2, 600))  # more than two blocks of keys

    def run() -> dict[str, Any]:
        model.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        return _gradients(model) | {"loss": loss.detach()}

    expected = run()
    used = speed_up(model)
    assert used == ["causal_attention", "lora_linear"], used
    got = run()
    return _differences(got, expected)


def policy_gradients(model_dir: str) -> dict[str, Any]:
    """How far gradients of a policy step are from those of an equivalent one, and what the step
    counted.

    `shared`: rollouts of one prompt, against each of them alone. `guided`: a token that a grammar
    made likelier and one that it forced, against the trainer's own probability for the one and the
    other left out.
    """
    import torch

    from agent_assets.engines.programs.cpu_kernels import speed_up
    from agent_assets.engines.programs.policy_gradient import Totals, accumulate, log_probabilities
    from agent_assets.engines.programs.shared_cores import SharedCores

    model = _lora_model(model_dir)
    speed_up(model)
    learning = HyperParams(
        precision="fp32",
        learning_rate=0.1,
        advantage="dr_grpo",
        clip=0.2,
        kl=0.0,
        max_grad_norm=1.0,
        max_tokens=8,
        seed=0,
    )

    def rollout(
        ids: list[int], spans: list[list[int]], advantage: float, **given: float
    ) -> LearnedSequence:
        places = [place for start, end in spans for place in range(start, end)]
        with torch.no_grad():
            logprobs = log_probabilities(model, torch.tensor([ids]), places).tolist()
        logprobs = [
            given.get(f"at_{place}", own) for place, own in zip(places, logprobs, strict=True)
        ]
        return LearnedSequence(ids, spans, logprobs, [advantage] * len(spans), len(places))

    def run(*batches: list[LearnedSequence]) -> tuple[dict[str, Any], Totals]:
        model.zero_grad()
        totals = Totals()
        for batch in batches:
            accumulate(
                model, LearnRequest(batch, rollouts=3), learning, None, totals, SharedCores()
            )
        return _gradients(model), totals

    prompt = torch.randint(0, 49152, (500,)).tolist()  # two blocks of keys
    first = rollout(
        [*prompt, 1, 2, 3, 4, 5, 6], [[500, 502], [504, 506]], 0.5
    )  # a tool's result between two turns
    two = rollout([*prompt, *range(10, 460)], [[500, 950]], -0.7)
    other = rollout([7, 8, 9], [[2, 3]], 0.2)
    alone, _ = run([first], [two], [other])
    together, counted = run([first, two, other])
    short = [*prompt[:20], 1, 2]
    guided, counts = run([rollout(short, [[20, 22]], 0.5, at_20=-1.0, at_21=0.0)])
    free, _ = run([rollout(short, [[20, 21]], 0.5)])
    return {
        "shared": _differences(together, alone),
        "forwarded": counted.forwarded,
        "guided": _differences(guided, free),
        "guided_fraction": counts.guided / counts.tokens,
    }


def _lora_model(model_dir: str) -> Any:
    """The model in float32 with a random adapter, as libraries compute it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager"
    )
    config = LoraConfig(
        r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config).train()


def _gradients(model: Any) -> dict[str, Any]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _differences(got: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    """Largest difference of each, relative to its largest value."""
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
