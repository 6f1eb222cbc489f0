"""Program `vllm_api_server ARGUMENTS`: vLLM's OpenAI server, with a LoRA operation that a CPU is faster at.

vLLM 0.32 copies the weights of the adapter once per *token* on a CPU (`vllm.lora.ops.torch_ops`), and gives a token
without an adapter (index -1) the adapter in the last place. Ours multiplies once per adapter of the batch, and leaves
such a token alone; tests/integration/engines/test_lora_linear.py compares the two.

The patch is made when this module is run or spawned, because vLLM's engine core is a process that imports it again.
"""

import runpy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SERVER = "vllm.entrypoints.openai.api_server"


def add_lora_linear(
    self: Any, y: "torch.Tensor", x: "torch.Tensor", lora_a_stacked: "Sequence[torch.Tensor]",
    lora_b_stacked: "Sequence[torch.Tensor]", scale: float, output_slices: Sequence[int], **_: Any,
) -> None:  # fmt: skip
    """Add `scale * x @ A.T @ B.T` to y, slice after slice (query, key and value are slices of one layer).

    Args:
        self: vLLM's `PunicaWrapperCPU`, after `update_metadata`.
        y: (tokens, sum of the slices), changed in place.
        x: (tokens, in).
        lora_a_stacked: of each slice (adapters, 1, rank, in).
        lora_b_stacked: of each slice (adapters, 1, out, rank).
        scale: factor.
        output_slices: width of each slice.
    """
    out, inputs = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1]).float()
    for rows, adapter in self.rows_by_adapter:
        start, given = 0, inputs[rows]
        for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            low = scale * (given @ a[adapter, 0].float().T)
            out[rows, start : start + width] += low.to(out.dtype) @ b[adapter, 0].T.to(out.dtype)
            start += width


def rows_by_adapter(indices: "torch.Tensor") -> "Iterator[tuple[slice | torch.Tensor, int]]":
    """The rows of each adapter in a batch, from the adapter of each token; tokens without one (-1) are left out."""
    found = indices.unique().tolist()
    for adapter in found:
        if adapter >= 0:
            yield (slice(None) if len(found) == 1 else indices == adapter), adapter


def patch() -> None:
    """Put our operation in the place of vLLM's."""
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    theirs = PunicaWrapperCPU.update_metadata
    PunicaWrapperCPU.rows_by_adapter = ()  # before the first forward pass

    def update_metadata(self: Any, *arguments: Any, **settings: Any) -> None:
        """Once per forward pass."""
        theirs(self, *arguments, **settings)
        self.rows_by_adapter = list(rows_by_adapter(self.token_lora_indices))

    PunicaWrapperCPU.update_metadata = update_metadata
    PunicaWrapperCPU.add_lora_linear = add_lora_linear


if __name__ in ("__main__", "__mp_main__"):
    patch()
if __name__ == "__main__":
    runpy.run_module(_SERVER, run_name="__main__")
