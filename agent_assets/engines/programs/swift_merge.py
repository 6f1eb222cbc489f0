"""Program `swift_merge`: base weights with an adapter merged in, and the proof that nothing else
changed.

The proof has two halves. Merging is done in float32, where merged equals base + adapter up to 1e-4
or so; and the files hold exactly those weights, rounded to the type of the base model. In bfloat16
the rounding itself moves logits by about 1, whoever merges: that is told beside the proof, and
decides nothing.
"""

import json
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agent_assets.engines.chat_templates.choice import TEMPLATE_FILE
from agent_assets.engines.contracts import (
    ADAPTER_CONFIG,
    SWIFT_MERGE,
    Agreement,
    MergeParams,
    MergeResult,
    Parity,
)
from agent_assets.engines.programs.runtime import (
    ReportMessage,
    facts,
    loaded_weights,
    report_progress,
    run_under_pipes,
)
from agent_assets.engines.programs.swift_sft import BASE_PREFIX
from agent_assets.engines.programs.swift_template import check_template
from agent_assets.errors import BaseModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Answered: TypeAlias = tuple[
        torch.Tensor, torch.Tensor
    ]  # logits (length, vocabulary), and answer (tokens,)

PROMPTS: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is the capital of France?"}],
    [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": "你小时候住在哪里？"},
    ],
    [
        {"role": "user", "content": "What did LNG cost in March 2025?"},
        {"role": "assistant", "content": "I look it up."},
        {"role": "user", "content": "Thank you. And in April?"},
    ],
)
GREEDY_TOKENS = 16


def merge(params: MergeParams, report: ReportMessage) -> MergeResult:
    """Merge and prove.

    Raises:
        BaseModelError: the adapter was trained on other base weights.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model_dir, adapter_dir, out_dir = params.model_dir, params.adapter_dir, params.out_dir
    started = time.monotonic()
    template = check_template(model_dir)
    report_progress(report, "load", total_steps=4)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(str(model_dir))
    base = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype="auto")
    weights, stored = loaded_weights(model_dir, base), base.dtype
    types = {
        name: value.dtype for name, value in base.state_dict().items()
    }  # some models keep a few in float32
    check_base(adapter_dir, weights.sha256)
    adapted = PeftModel.from_pretrained(base.float().to(device), str(adapter_dir)).eval()
    prompts = [tokenize(tokenizer, prompt).to(device) for prompt in params.prompts or PROMPTS]
    report_progress(report, "base + adapter", step=1, total_steps=4)
    proof = time.monotonic()
    expected = answers(adapted, prompts)
    proof_seconds = time.monotonic() - proof
    report_progress(report, "merge", step=2, total_steps=4)
    merged = adapted.merge_and_unload()
    proof = time.monotonic()
    exact = compare(expected, answers(merged, prompts))
    proof_seconds += time.monotonic() - proof
    for name, tensor in chain(merged.named_parameters(), merged.named_buffers()):
        tensor.data = tensor.data.to(types.get(name, tensor.dtype))
    merged.save_pretrained(str(out_dir))
    tokenizer.save_pretrained(str(out_dir))
    (out_dir / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    rounded = {name: value.cpu() for name, value in merged.state_dict().items()}
    del adapted, merged, base
    report_progress(report, "compare", step=3, total_steps=4)
    # The files are loaded again: a mistake in writing them would show, too.
    reloaded = AutoModelForCausalLM.from_pretrained(str(out_dir), dtype="auto").to(device).eval()
    read = reloaded.state_dict()
    files_exact = rounded.keys() == read.keys() and all(
        value.dtype == rounded[name].dtype and torch.equal(value.cpu(), rounded[name])
        for name, value in read.items()
    )
    proof = time.monotonic()
    rounding = compare(expected, answers(reloaded, prompts))
    proof_seconds += time.monotonic() - proof
    parity = Parity(
        **vars(exact),
        files_exact=files_exact,
        stored_dtype=str(stored).removeprefix("torch."),
        stored_logit_difference=rounding.max_logit_difference,
        stored_token_agreement=rounding.token_agreement,
    )
    tokens = 3 * (parity.positions + len(prompts) * GREEDY_TOKENS)
    report_progress(report, "done", step=4, total_steps=4)
    return MergeResult(
        parity=parity,
        files=sorted(path.name for path in out_dir.iterdir() if path.is_file()),
        seconds=round(time.monotonic() - started, 2),
        tokens=tokens,
        tokens_per_s=round(tokens / proof_seconds, 1),
        weights_loaded=weights,
        **facts("torch", "transformers", "peft", "safetensors"),
    )


def check_base(adapter_dir: Path, base_sha256: str) -> None:
    """Refuse an adapter of another base: it would load, and answer nonsense.

    Raises:
        BaseModelError: the adapter names no base, or another one.
    """
    trained_on = json.loads((adapter_dir / ADAPTER_CONFIG).read_text(encoding="utf-8"))[
        "base_model_name_or_path"
    ]
    if trained_on != BASE_PREFIX + base_sha256[:12]:
        raise BaseModelError(
            f"The adapter was trained on {trained_on}, the base model is "
            f"{BASE_PREFIX}{base_sha256[:12]}.",
            next_step="Materialize sft_adapter again, on this base model.",
        )


def tokenize(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[dict[str, str]]
) -> "torch.Tensor":
    """Token ids of a conversation, shape (1, length), ready for an answer."""
    return tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]


def answers(model: "PreTrainedModel", prompts: Sequence["torch.Tensor"]) -> list["Answered"]:
    """For each prompt: logits of every position (float32, length x vocabulary), and the tokens of a
    greedy answer.
    """
    import torch

    answered = []
    for ids in prompts:
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0].float()
            # Without an end token: each answer has the same length, so that agreement is a plain
            # share.
            tokens = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=GREEDY_TOKENS,
                min_new_tokens=GREEDY_TOKENS,
                pad_token_id=0,
            )[0, ids.shape[1] :]
        answered.append((logits, tokens))
    return answered


def compare(expected: list["Answered"], actual: list["Answered"]) -> Agreement:
    """How far two models are apart: largest logit difference, agreement of most likely tokens, of
    greedy answers.
    """
    pairs = list(zip(expected, actual, strict=True))
    positions = sum(logits.shape[0] for logits, _ in expected)
    same_top = sum(int((first[0].argmax(-1) == two[0].argmax(-1)).sum()) for first, two in pairs)
    same_greedy = sum(int((first[1] == two[1]).sum()) for first, two in pairs)
    return Agreement(
        prompts=len(pairs),
        positions=positions,
        max_logit_difference=max(float((first[0] - two[0]).abs().max()) for first, two in pairs),
        token_agreement=same_top / positions,
        greedy_agreement=same_greedy / (len(pairs) * GREEDY_TOKENS),
    )


if __name__ == "__main__":
    run_under_pipes(SWIFT_MERGE, merge)
