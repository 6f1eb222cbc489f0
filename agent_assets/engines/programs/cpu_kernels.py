"""Faster LoRA training on a CPU: two autograd functions that do what peft and transformers do, with
less around it.

At 135M parameters matrix products are half of the time of a step; the rest is attention in a form
that CPUs are slow at (the fused kernel of PyTorch, without AMX), and casts, scalings and additions
around thin LoRA products. Both functions give the gradients of the code they replace
(tests/integration/engines compares them); together they save a third.
"""

import ctypes
import functools
import math
import sys
import types
from typing import TYPE_CHECKING

import torch
from torch.autograd.function import FunctionCtx

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.lora import Linear

# Plain causal attention with full heads, RMS norms and rotary positions: what `causal_attention`
# computes.
ARCHITECTURES = frozenset({"llama", "qwen2", "qwen3"})

ATTENTION = "agent_assets_causal"

_BLOCK = 400  # queries


class LoraLinear(torch.autograd.Function):  # type: ignore[misc]
    """y = x Wᵀ + s (x Aᵀ) Bᵀ with a frozen W, in its precision. A (r x in) and B (out x r) stay
    float32.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Both products into one result: no cast of x, no scaling or addition at the size of y."""
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        thin_a, thin_b = a.to(weight.dtype), (b * scale).to(weight.dtype)
        hidden = rows @ thin_a.t()
        y = torch.nn.functional.linear(rows, weight, bias)
        y.addmm_(hidden, thin_b.t())
        ctx.save_for_backward(rows, weight, thin_a, thin_b, hidden)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x, A and B."""
        rows, weight, thin_a, thin_b, hidden = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_hidden = grad @ thin_b
        grad_b = (grad.t() @ hidden).float().mul_(ctx.scale)
        grad_a = (grad_hidden.t() @ rows).float()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x = grad_x.addmm_(grad_hidden, thin_a).view(ctx.shape).to(ctx.dtype)
        return grad_x, None, None, grad_a, grad_b, None


class CausalAttention(torch.autograd.Function):  # type: ignore[misc]
    """softmax(q kᵀ s, causal) v for q (batch, heads, length, width) and k, v with fewer heads, in
    blocks of queries.

    k and v may be longer than q: the rest lies before the first query. Heads that share keys are
    rows of one matrix,
    ordered by time and then head: a block of queries is a range of rows, and keys and values are
    never repeated.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Returns (batch, length, heads, width), the layout transformers wants."""
        ctx.shape, ctx.key_heads, ctx.scale, ctx.dtype = q.shape, k.shape[1], scale, q.dtype
        group = q.shape[1] // k.shape[1]
        q = (_by_time(q, k.shape[1]) * scale).to(v.dtype)
        k, v = (t.flatten(0, 1).contiguous().to(v.dtype) for t in (k, v))
        outs, probabilities = [], []
        ctx.before = before = k.shape[1] - ctx.shape[2]
        for start, end in _blocks(ctx.shape[2]):
            scores = torch.bmm(
                q[:, start * group : end * group], k[:, : before + end].transpose(1, 2)
            )
            scores[..., before + start :] += _future(end - start, group, q.dtype)
            p = torch.softmax(scores, -1)
            outs.append(torch.bmm(p, v[:, : before + end]))
            probabilities.append(p)
        ctx.save_for_backward(q, k, v, *probabilities)
        return _by_head(torch.cat(outs, 1), ctx.shape, ctx.key_heads).transpose(1, 2)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of q, k and v; those of k and v add up over blocks in float32."""
        q, k, v, *probabilities = ctx.saved_tensors
        group = ctx.shape[1] // ctx.key_heads
        grad = _by_time(grad.transpose(1, 2), ctx.key_heads)
        grads_q = []
        grad_k, grad_v = (torch.zeros(k.shape, dtype=torch.float32) for _ in range(2))
        for (start, end), p in zip(_blocks(ctx.shape[2]), probabilities, strict=True):
            rows, visible = slice(start * group, end * group), ctx.before + end
            grad_v[:, :visible] += torch.bmm(p.transpose(1, 2), grad[:, rows])
            grad_p = torch.bmm(grad[:, rows], v[:, :visible].transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_p, p, -1, p.dtype)
            grads_q.append(torch.bmm(grad_scores, k[:, :visible]))
            grad_k[:, :visible] += torch.bmm(grad_scores.transpose(1, 2), q[:, rows])
        grad_q = _by_head(torch.cat(grads_q, 1).mul_(ctx.scale), ctx.shape, ctx.key_heads)
        grad_k, grad_v = (t.unflatten(0, (-1, ctx.key_heads)) for t in (grad_k, grad_v))
        return grad_q.to(ctx.dtype), grad_k.to(ctx.dtype), grad_v.to(v.dtype), None


def _blocks(length: int) -> list[tuple[int, int]]:
    """Ranges of queries. More blocks skip more of the future, fewer cost less around the
    products.
    """
    size = math.ceil(length / max(1, round(length / _BLOCK)))
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def _by_time(q: torch.Tensor, key_heads: int) -> torch.Tensor:
    """(batch, heads, length, width) to (batch * key heads, length * heads per key head, width)."""
    return q.unflatten(1, (key_heads, -1)).transpose(2, 3).flatten(2, 3).flatten(0, 1)


def _by_head(rows: torch.Tensor, shape: torch.Size, key_heads: int) -> torch.Tensor:
    """The other way round."""
    batch, heads, length, width = shape
    return (
        rows.view(batch, key_heads, length, heads // key_heads, width).transpose(2, 3).flatten(1, 2)
    )


@functools.lru_cache(maxsize=8)
def _future(size: int, group: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores of a block for its own keys: minus infinity where a key comes
    after the query.
    """
    mask = torch.full((size, size), float("-inf"), dtype=dtype).triu_(1)
    return mask.repeat_interleave(group, 0)


def speed_up(model: "PeftModel") -> list[str]:
    """Put the functions into a peft model, where they compute what it does; returns the names of
    those in use.

    Rows have to be padded on the right: padding then lies in the future of every real token.
    """
    used = []
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if (
        config.model_type in ARCHITECTURES
        and layers == {"full_attention"}
        and not config.attention_dropout
    ):
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(ATTENTION, _attention)
        AttentionMaskInterface.register(ATTENTION, lambda *_args, **_kwargs: None)
        model.get_base_model().set_attn_implementation(ATTENTION)
        used.append("causal_attention")
    from peft.tuners.lora import Linear

    plain = [
        module for module in model.modules() if isinstance(module, Linear) and _is_plain(module)
    ]
    for module in plain:
        module.forward = types.MethodType(_lora_forward, module)
    return [*used, "lora_linear"] if plain else used


def keep_memory() -> None:
    """Let glibc keep freed memory: tensors of the same sizes return at every step, and page faults
    cost a tenth.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: below it, memory comes from the heap
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap is not given back


def _attention(
    module: torch.nn.Module,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    **_kwargs: object,
) -> tuple[torch.Tensor, None]:
    return CausalAttention.apply(q, k, v, scaling), None


def _is_plain(module: "Linear") -> bool:
    """One adapter, no dropout, no variant: then the layer is W and A and B, nothing else."""
    return (
        list(module.lora_A) == ["default"]
        and isinstance(module.lora_dropout["default"], torch.nn.Identity)
        and not module.lora_variant
        and not module.lora_bias["default"]
        and type(module.base_layer) is torch.nn.Linear
    )


def _lora_forward(self: "Linear", x: torch.Tensor) -> torch.Tensor:
    base = self.base_layer
    a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
    return LoraLinear.apply(x, base.weight, base.bias, a, b, self.scaling["default"])
