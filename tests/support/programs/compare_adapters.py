"""Runs in an engine environment: our way to apply adapters on a CPU against vLLM's, on random
matrices.

Prints one JSON object: for each batch the largest difference, relative to the largest value that an
adapter adds.
"""

import json
from typing import Any

import torch
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from agent_assets.engines.servers.vllm_cpu import MatrixAdapters

SLOTS, RANK, INPUTS, SLICES = 9, 4, 24, (16, 8, 8)
IDS = [7, None, 9, 3, 5, None, None, None, None]  # adapter by slot; 0 is the base model
BATCHES = {
    "one prompt": [7] * 100,
    "prompts": [7] * 60 + [0] * 10 + [9] * 90,
    "base model": [0] * 5,
    "few tokens": [9, 7, 0, 9, 3, 7],
    "few tokens, all with adapters": [9, 7, 3, 9, 5],
    "few tokens of few adapters": [9, 0, 7, 9],
    "short prompts": [9] * 20 + [7] * 12 + [0] * 3 + [3] * 15,
    "an answer beside a prompt": [9, 3, 5] + [7] * 60 + [9, 7],
    "alone": [9],
}


def added(
    kind: type[Any], tokens: list[int], x: torch.Tensor, a: Any, b: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is added to the outputs of a linear layer, and to the logits of an output layer no
    adapter has.
    """
    wrapper = kind(max_num_batched_tokens=256, max_batches=16, device="cpu")
    mapping = LoRAMapping(tuple(tokens), tuple(tokens), is_prefill=True)
    wrapper.update_metadata(mapping, IDS, SLOTS, 32)
    y = torch.zeros(len(tokens), sum(SLICES))
    for _ in range(2):  # the second time the matrices lie as the first left them
        y.zero_()
        wrapper.add_lora_linear(y, x, a, b, 1.0, SLICES)
    logits = torch.zeros(len(tokens), 32)
    wrapper.add_lora_logits(
        logits, x, torch.zeros(SLOTS, 1, RANK, INPUTS), torch.ones(SLOTS, 1, 32, RANK), 1.0
    )
    return y, logits


def main() -> None:
    """Compare."""
    differences = {}
    for name, tokens in BATCHES.items():
        torch.manual_seed(0)
        a = tuple(torch.randn(SLOTS, 1, RANK, INPUTS) for _ in SLICES)
        b = tuple(torch.randn(SLOTS, 1, size, RANK) for size in SLICES)
        x = torch.randn(len(tokens), INPUTS)
        # As the engine computes; it loads adapters outside of that mode
        with torch.inference_mode():
            theirs, _ = added(PunicaWrapperCPU, tokens, x, a, b)
            ours, logits = added(MatrixAdapters, tokens, x, a, b)
        theirs = theirs.clone()
        shown = tuple(part.clone() for part in b)
        b[0][1] = 5.0  # an adapter that is loaded later is seen, in the layout that was made
        assert all(
            torch.equal(ours_and_theirs[0], two[0])
            for ours_and_theirs, two in zip(b, shown, strict=True)
        )
        assert bool((b[0][1] == 5.0).all()) and not logits.any()
        base = torch.tensor([adapter == 0 for adapter in tokens])
        assert not ours[
            base
        ].any()  # beside adapters, vLLM gives the base model that of the last slot
        theirs[base] = 0.0
        differences[name] = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0))
    print(json.dumps(differences))


if __name__ == "__main__":
    main()
