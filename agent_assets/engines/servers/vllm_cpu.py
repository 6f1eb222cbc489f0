"""Program `vllm_cpu`: vLLM's OpenAI server on a CPU, with adapters applied as matrix products.

python -m agent_assets.engines.servers.vllm_cpu [ARGUMENTS OF vllm.entrypoints.openai.api_server
...]

vLLM's own CPU code copies an adapter's matrices once for every token, in float32: a prompt of 1,000
tokens moves gigabytes per layer, during which nobody is answered. Here none is copied per token.
Results are those of vLLM up to rounding (tests/integration/engines compares them).
"""

import itertools
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms.cpu import CpuPlatform

if TYPE_CHECKING:
    from vllm.lora.layers import LoRAMapping

MODULE = "agent_assets.engines.servers.vllm_cpu"
SERVER = "vllm.entrypoints.openai.api_server"
_FEW_TOKENS = 64  # of one adapter in a step
_SPARSE = 4  # slots for each one in use: with more, those in use are looked at one by one
_Rows: TypeAlias = slice | torch.Tensor  # of the tokens of a step


class MatrixAdapters(PunicaWrapperCPU):  # type: ignore[misc]  # vLLM is not typed
    """Applies the adapters of a batch: vLLM's interface for linear layers, on whole matrices.

    Adapters with few tokens in a step (one of each conversation) share batched products, in which
    every slot takes part; an adapter with many (a prompt) has its own.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._layers: dict[int, tuple[tuple[torch.Tensor, ...], _Layer]] = {}

    def update_metadata(
        self,
        mapping: "LoRAMapping",
        lora_index_to_id: list[int | None],
        *args: object,
        **kwargs: object,
    ) -> None:
        """Note which slot each token of the next step uses; -1 is the base model."""
        super().update_metadata(mapping, lora_index_to_id, *args, **kwargs)
        self._alone, self._shared = _grouped(
            self.token_lora_indices.tolist(), len(lora_index_to_id)
        )

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_: object,
    ) -> None:
        """y += scale * (x A^T) B^T in place, with the A and B of each token's slot.

        Args:
            y: (tokens, sum of output_slices).
            x: (tokens, inputs).
            lora_a_stacked: for each slice (slots, 1, rank, inputs).
            lora_b_stacked: for each slice (slots, 1, outputs, rank).
        """
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        layer = self._layer(lora_a_stacked, lora_b_stacked, output_slices)
        for rows, slot in self._alone:
            _add_alone(y, x, layer, rows, slot, scale)
        if self._shared is not None:
            _add_shared(y, x, layer, self._shared, scale)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        **more: object,
    ) -> None:
        """As vLLM does it, where an adapter has a part for the output layer at all: it is as wide
        as the vocabulary.
        """
        if torch.nn.functional.linear(x, lora_a_stacked.view(-1, x.shape[-1])).any():
            super().add_lora_logits(y, x, lora_a_stacked, lora_b_stacked, scale, **more)

    def add_lora_embedding(
        self, y: torch.Tensor, x: torch.Tensor, lora_b_stacked: torch.Tensor, **more: object
    ) -> None:
        """As vLLM does it, where an adapter has a part for the embeddings at all."""
        if x.any():
            super().add_lora_embedding(y, x, lora_b_stacked, **more)

    def _layer(
        self, a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...], sizes: tuple[int, ...]
    ) -> "_Layer":
        known = self._layers.get(id(a))
        if known is None:
            known = self._layers[id(a)] = (
                a,
                _lay_out(a, b, sizes),
            )  # held, so that its id stays its own
        return known[1]


@dataclass(frozen=True)
class _Layer:
    """The matrices of one linear layer, float32.

    Args:
        a: (slots, slices * rank, inputs).
        blocks: neighbouring slices of the same size: which slices, which outputs, and b (slots,
            slices, rank, outputs of one slice).
    """

    a: torch.Tensor
    blocks: list[tuple[slice, slice, torch.Tensor]]


def _lay_out(
    a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...], sizes: tuple[int, ...]
) -> _Layer:
    """Put the matrices where one product reads them. vLLM's tensors become views of these and load
    adapters as before.

    In float32: for a few rows PyTorch's products of bfloat16 take twice as long, because they pack
    the matrices first.
    """
    blocks, first, start = [], 0, 0
    # A tensor made in that mode could not be written outside of it
    with torch.inference_mode(False):
        whole = torch.stack([part[:, 0].float() for part in a], 1)
        for number, part in enumerate(a):
            part.data = whole[:, number].unsqueeze(1)
        for size, same in itertools.groupby(sizes):
            slices = slice(first, first := first + len(list(same)))
            block = torch.stack([part[:, 0].float().transpose(1, 2) for part in b[slices]], 1)
            for number, part in enumerate(b[slices]):
                part.data = block[:, number].transpose(1, 2).unsqueeze(1)
            blocks.append((slices, slice(start, start := start + size * block.shape[1]), block))
    return _Layer(whole.flatten(1, 2), blocks)


@dataclass(frozen=True)
class _Shared:
    """Tokens whose adapters take part in one product, with as many places for each slot.

    Args:
        rows: for each place its token; places nobody needs have any.
        places: where the result of each token is.
        tokens: which tokens those are; None for all, in their order.
    """

    rows: torch.Tensor
    places: torch.Tensor
    tokens: torch.Tensor | None


def _grouped(
    slots: Sequence[int], available: int
) -> tuple[list[tuple[_Rows, int]], _Shared | None]:
    """(tokens, slot) of adapters that have a product of their own; and those that share one."""
    tokens: dict[int, list[int]] = {}
    for token, slot in enumerate(slots):
        if slot >= 0:
            tokens.setdefault(slot, []).append(token)
    # All get as many places as the one with most tokens: that must not be many more than the others
    # need.
    most = min(
        _FEW_TOKENS, 2 + 2 * min((len(slot_tokens) for slot_tokens in tokens.values()), default=0)
    )
    few = {slot: slot_tokens for slot, slot_tokens in tokens.items() if len(slot_tokens) <= most}
    # One adapter shares with nobody: its results then do not depend on how many tokens a step
    # happens to have.
    if len(few) * _SPARSE <= available or len(tokens) == 1:
        few = {}
    alone = [(_rows(slot_tokens), slot) for slot, slot_tokens in tokens.items() if slot not in few]
    return alone, _shared(few, len(slots), available) if few else None


def _shared(tokens: dict[int, list[int]], total: int, slots: int) -> _Shared:
    size = max(len(slot_tokens) for slot_tokens in tokens.values())
    place = {
        token: slot * size + n
        for slot, slot_tokens in tokens.items()
        for n, token in enumerate(slot_tokens)
    }
    rows = [0] * (slots * size)
    for token, where in place.items():
        rows[where] = token
    known = sorted(place)
    return _Shared(
        torch.tensor(rows),
        torch.tensor([place[token] for token in known]),
        None if len(known) == total else torch.tensor(known),
    )


def _rows(tokens: list[int]) -> _Rows:
    first, last = tokens[0], tokens[-1]
    return slice(first, last + 1) if last - first + 1 == len(tokens) else torch.tensor(tokens)


def _add_alone(
    y: torch.Tensor, x: torch.Tensor, layer: _Layer, rows: _Rows, slot: int, scale: float
) -> None:
    hidden = (
        x[rows] @ layer.a[slot].to(x.dtype).t()
    )  # for many rows the precision of x is the fast one
    for slices, outputs, b in layer.blocks:
        rank, size = b.shape[2:]
        for number, part in enumerate(b[slot].to(x.dtype)):
            first, start = (slices.start + number) * rank, outputs.start + number * size
            own, out = hidden[:, first : first + rank], y[:, start : start + size]
            if isinstance(rows, slice):
                out[rows].addmm_(own, part, alpha=scale)
            else:
                out.index_add_(0, rows, own @ part, alpha=scale)


def _add_shared(
    y: torch.Tensor, x: torch.Tensor, layer: _Layer, step: _Shared, scale: float
) -> None:
    """Every call counts here: there are hundreds in a step, and each takes microseconds before it
    computes anything.
    """
    slots = len(layer.a)
    gathered = x.index_select(0, step.rows).float().view(slots, -1, x.shape[-1])
    hidden = torch.bmm(layer.a, gathered.transpose(1, 2))  # in this order A is read as it lies
    if scale != 1.0:
        hidden.mul_(scale)
    for slices, outputs, b in layer.blocks:
        _, number, rank, size = b.shape
        part = (
            hidden
            if len(layer.blocks) == 1
            else hidden[:, slices.start * rank : slices.stop * rank]
        )
        added = torch.bmm(part.reshape(slots * number, rank, -1).transpose(1, 2), b.flatten(0, 1))
        if number > 1 and added.shape[1] > 1:
            added = added.view(slots, number, -1, size).transpose(1, 2)
        added = added.reshape(-1, number * size).index_select(0, step.places)
        out = y if len(layer.blocks) == 1 else y[:, outputs]
        if step.tokens is None:
            out.add_(added)
        else:
            out.index_add_(0, step.tokens, added.to(y.dtype))


def install() -> None:
    """Let vLLM use it."""
    CpuPlatform.get_punica_wrapper = classmethod(
        lambda _: f"{MODULE}.{MatrixAdapters.__qualname__}"
    )


# also in the engine process, which imports this module first because it is the main module of its
# parent
install()

if __name__ == "__main__":
    runpy.run_module(SERVER, run_name="__main__")
