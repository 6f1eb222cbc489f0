"""Program `vllm_cpu`: vLLM's OpenAI server on a CPU, with adapters applied as matrix products.

python -m agent_assets.engines.programs.vllm_cpu [ARGUMENTS OF vllm.entrypoints.openai.api_server ...]

vLLM's own CPU code copies an adapter's matrices once for every token, in float32: a prompt of 1,000 tokens moves
gigabytes per layer, during which nobody is answered. Here no matrix is copied. Results are those of vLLM up to rounding
(tests/integration/engines compares them).
"""

import runpy
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms.cpu import CpuPlatform

MODULE = "agent_assets.engines.programs.vllm_cpu"
SERVER = "vllm.entrypoints.openai.api_server"
_FEW_TOKENS = 64


class MatrixAdapters(PunicaWrapperCPU):  # type: ignore[misc]  # vLLM is not typed
    """Applies the adapters of a batch: vLLM's interface for linear layers, on whole matrices.

    Many tokens (prompts): two products per run of tokens with the same adapter. Few tokens (one of each conversation):
    two products with the matrices of all slots at once, between them everything that is not a token's own is zeroed.
    """

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Note which slot each token of the next step uses; -1 is the base model."""
        super().update_metadata(*args, **kwargs)
        slots = self.token_lora_indices
        self._runs = _runs(slots.tolist())
        self._dense = len(self._runs) > 1 and len(slots) <= _FEW_TOKENS
        self._slots = slots
        self._own: torch.Tensor | None = None

    def add_lora_linear(
        self, y: torch.Tensor, x: torch.Tensor, lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...], scale: float, output_slices: tuple[int, ...], **_: Any,
    ) -> None:  # fmt: skip
        """y += scale * (x A^T) B^T in place, with the A and B of each token's slot.

        Args:
            y: (tokens, sum of output_slices).
            x: (tokens, inputs).
            lora_a_stacked: for each slice (slots, 1, rank, inputs).
            lora_b_stacked: for each slice (slots, 1, outputs, rank).
        """
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        start = 0
        for a, b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            part = y[:, start : start + size]
            start += size
            if self._dense:
                part.addmm_(self._hidden(x, a), _flat(b), alpha=scale)
                continue
            for first, end, slot in self._runs:
                if slot >= 0:
                    part[first:end].addmm_(x[first:end] @ a[slot, 0].t(), b[slot, 0].t(), alpha=scale)

    def add_lora_logits(
        self, y: torch.Tensor, x: torch.Tensor, lora_a_stacked: torch.Tensor, lora_b_stacked: torch.Tensor,
        scale: float, **more: Any,
    ) -> None:  # fmt: skip
        """As vLLM does it, where an adapter has a part for the output layer at all: it is as wide as the vocabulary."""
        if torch.nn.functional.linear(x, lora_a_stacked.view(-1, x.shape[-1])).any():
            super().add_lora_logits(y, x, lora_a_stacked, lora_b_stacked, scale, **more)

    def add_lora_embedding(self, y: torch.Tensor, x: torch.Tensor, lora_b_stacked: torch.Tensor, **more: Any) -> None:
        """As vLLM does it, where an adapter has a part for the embeddings at all."""
        if x.any():
            super().add_lora_embedding(y, x, lora_b_stacked, **more)

    def _hidden(self, x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        """(tokens, slots * rank): x Aᵀ of every slot, zero but for each token's own."""
        slots = a.shape[0]
        if self._own is None:
            own = self._slots[:, None] == torch.arange(slots, device=x.device)
            self._own = own.to(x.dtype)[:, :, None]
        hidden = torch.nn.functional.linear(x, a.view(-1, a.shape[-1]))
        hidden.view(len(x), slots, -1).mul_(self._own)
        return hidden


def _runs(slots: list[int]) -> list[tuple[int, int, int]]:
    """(first, end, slot) of neighbours with the same slot."""
    edges = [n for n in range(len(slots)) if n == 0 or slots[n] != slots[n - 1]]
    return [(first, end, slots[first]) for first, end in zip(edges, [*edges[1:], len(slots)], strict=True)]


def _flat(b: torch.Tensor) -> torch.Tensor:
    """B of all slots as one matrix (slots * rank, outputs), without a copy: its storage is turned at the first use.

    What it shows, (slots, 1, outputs, rank), stays the same, so that adapters are loaded into it as before.
    """
    turned = b.transpose(2, 3)
    if not turned.is_contiguous():
        with torch.inference_mode(False):  # a tensor made in that mode could not be written outside of it
            b.data = turned.contiguous().transpose(2, 3)
        turned = b.transpose(2, 3)
    return turned.view(-1, b.shape[2])


def install() -> None:
    """Let vLLM use it."""
    CpuPlatform.get_punica_wrapper = classmethod(lambda _: f"{MODULE}.{MatrixAdapters.__qualname__}")


install()  # also in the engine process, which imports this module first because it is the main module of its parent

if __name__ == "__main__":
    runpy.run_module(SERVER, run_name="__main__")
