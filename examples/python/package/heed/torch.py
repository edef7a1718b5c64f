# SPDX-License-Identifier: MIT
"""heed for PyTorch, on tensors in the CPU's memory: pure Python over the module, so that any version of torch will do.

    from heed.torch import softpick_attention
    out = softpick_attention(q, k, v, causal=True)          # [B, H, S, D], differentiable

Tensors are float32, float64, float16 or bfloat16, of any strides; where channels do not lie side by side, a contiguous
copy is taken. Gradients of float16 and bfloat16 are computed from copies in float32. Nothing here is differentiable
twice.
"""
from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import heed

__all__ = ["Attention", "attention", "scaled_dot_product_attention", "softpick_attention"]


_GRADIENTS = ("dq", "dk", "dv", "dbias", "dsinks")


def _readable(t: Tensor) -> Tensor:
    """The tensor as heed takes it: without gradient, its last dimension side by side."""
    t = t.detach()
    if t.device.type != "cpu":
        raise ValueError(f"heed.torch: a tensor on {t.device}; heed computes on the CPU: tensor.cpu()")
    return t if t.shape[-1] <= 1 or t.stride(-1) == 1 else t.contiguous()


def _computed_in(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Attend(torch.autograd.Function):
    """attend with its gradients in q, k, v, a bias and the logits of sinks."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor], sinks: Optional[Tensor],
                definition: Dict[str, Any], threads: Optional[int]) -> Tensor:
        words = dict(definition)
        if bias is not None:
            words["bias"] = _readable(bias)
        if sinks is not None:
            words["sinks"] = sinks.detach().numpy()
        of = heed.Attention(**words)
        q_, k_, v_ = _readable(q), _readable(k), _readable(v)
        if any(t.dim() != 4 for t in (q_, k_, v_)):
            raise ValueError("heed.torch: q, k and v are [batch, heads, tokens, channels]; "
                             f"these have {q.dim()}, {k.dim()} and {v.dim()} dimensions")
        out = torch.empty(*q_.shape[:-1], v_.shape[-1], dtype=q.dtype)
        needs_gradient = any(ctx.needs_input_grad)
        if needs_gradient:
            _, ctx.stats = heed.attend(q_, k_, v_, out=out, stats=True, threads=threads, attention=of)
        else:
            heed.attend(q_, k_, v_, out=out, threads=threads, attention=of)
        ctx.save_for_backward(q, k, v, out)
        ctx.of, ctx.threads = of, threads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> Any:
        q, k, v, out = ctx.saved_tensors
        names = [name for name, is_needed in zip(_GRADIENTS, ctx.needs_input_grad) if is_needed]
        computed = _computed_in(q.dtype)
        q_, k_, v_, out_, dout_ = (_readable(t.to(computed)) for t in (q, k, v, out, dout))
        gave = heed.backward(q_, k_, v_, out_, ctx.stats, dout_, wants=names, threads=ctx.threads, attention=ctx.of)
        given = []
        for name, of in zip(_GRADIENTS, (q, k, v, None, None)):
            gradient = getattr(gave, name)
            if gradient is None:
                given.append(None)
            else:
                gradient = torch.from_numpy(gradient)
                given.append(gradient if of is None else gradient.to(of.dtype))
        if given[4] is not None:
            given[4] = given[4].to(torch.float32)  # the logits' own type
        return (*given, None, None)


def attention(q: Tensor, k: Tensor, v: Tensor, *, bias: Optional[Tensor] = None, sinks: Optional[Tensor] = None,
              threads: Optional[int] = None, **definition: Any) -> Tensor:
    """heed.attend on tensors, differentiable in q, k, v, bias and sinks.

    q [B, Hq, Sq, D], k [B, Hkv, Skv, D], v [B, Hkv, Skv, Dv], of one type; Hq is a multiple of Hkv. bias is a tensor of
    four dimensions, [B, Hq, Sq, Skv] or 1 where it repeats, sinks one of [Hq]; what else a definition takes is in
    help(heed.Attention): normalizer, eps, causal, window, mask, softcap, alibi ...

    Returns [B, Hq, Sq, Dv] of q's type. ValueError, in heed's words, for what does not fit.
    """
    if bias is not None:
        if bias.dim() != 4:
            raise ValueError(f"heed.torch: bias has {bias.dim()} dimensions, must have 4: [B, Hq, Sq, Skv], or 1 where "
                             "it repeats")
        bias = bias.to(_computed_in(q.dtype))
    if sinks is not None:
        sinks = sinks.to(torch.float32)
    if definition.get("mask") is not None:
        definition["mask"] = _readable(definition["mask"])
    return _Attend.apply(q, k, v, bias, sinks, definition, threads)


def softpick_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = True, *, eps: float = 0.0,
                       scale: Optional[float] = None, threads: Optional[int] = None) -> Tensor:
    """Softpick attention (Zuhri et al. 2025, arXiv 2504.20966), whose heads may attend to nothing.

        p_ij = max(e^s_ij - 1, 0) / (eps + sum_j |e^s_ij - 1|)      s_ij = scale q_i . k_j

    q [B, Hq, Sq, D], k [B, Hkv, Skv, D], v [B, Hkv, Skv, Dv]. causal: the last query stands at the last key, and no
    query attends later keys. scale: 1 / sqrt(D) where it is None.
    """
    return attention(q, k, v, normalizer="softpick", eps=eps, scale=scale, threads=threads,
                     causal="bottom-right" if causal else None)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Optional[Tensor] = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: Optional[float] = None,
                                 enable_gqa: bool = False) -> Tensor:
    """torch.nn.functional.scaled_dot_product_attention of torch 2, by heed.

    query [..., Hq, L, E], key [..., Hkv, S, E], value [..., Hkv, S, Ev]; leading dimensions are broadcast.
    attn_mask    bool, True where a key is attended, or a float that is added to scores; broadcast to [..., L, S]
    dropout_p    0: heed drops nothing, and any other number is a ValueError
    is_causal    row i attends keys up to i (top-left), whatever L and S are
    enable_gqa   Hq may be a multiple of Hkv

    A row that attends no key is 0 (NaN in torch before 2.5).
    """
    if dropout_p != 0:
        raise ValueError(f"scaled_dot_product_attention: dropout_p is {dropout_p}; heed has no dropout: pass 0")
    if attn_mask is not None and is_causal:
        raise ValueError("scaled_dot_product_attention: one of attn_mask and is_causal")
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.dim() < 2:
            raise ValueError(f"scaled_dot_product_attention: {name} has {t.dim()} dimensions, must have at least 2")
    dims = max(query.dim(), key.dim(), value.dim(), 3)
    q, k, v = (t.reshape((1,) * (dims - t.dim()) + tuple(t.shape)) for t in (query, key, value))
    if enable_gqa:
        batch = torch.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
        heads = (q.shape[-3], k.shape[-3], v.shape[-3])
        if heads[1] != heads[2]:
            raise ValueError(f"scaled_dot_product_attention: {heads[1]} heads of key, {heads[2]} of value")
    else:
        shape = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        batch, heads = shape[:-1], (shape[-1],) * 3
    q, k, v = (t.expand(*batch, h, *t.shape[-2:]).reshape(-1, h, *t.shape[-2:]) for t, h in zip((q, k, v), heads))

    words: Dict[str, Any] = {"scale": scale, "causal": "top-left" if is_causal else None}
    bias = None
    if attn_mask is not None:
        wanted = (*batch, heads[0], q.shape[-2], k.shape[-2])
        try:
            rows = torch.broadcast_shapes(attn_mask.shape[:-1], (1, 1, 1))
            table = torch.broadcast_to(attn_mask, (*rows, k.shape[-2]))
            torch.broadcast_shapes(table.shape, wanted)
        except RuntimeError:
            raise ValueError(f"scaled_dot_product_attention: attn_mask {list(attn_mask.shape)} does not broadcast to "
                             f"{list(wanted)}") from None
        if len(batch) == 1 or all(n == 1 for n in table.shape[:-3]):
            table = table.reshape(-1, *table.shape[-3:])
        else:
            table = table.expand(*batch, *table.shape[-3:]).reshape(-1, *table.shape[-3:])
        if table.dtype == torch.bool:
            words["mask"] = table
        else:
            bias = table
    out = attention(q, k, v, bias=bias, **words)
    leading = max(query.dim(), key.dim(), value.dim()) - 2
    return out.reshape((*batch, heads[0], *out.shape[-2:])[-(leading + 2):])


class Attention(nn.Module):
    """attention() as a module, its definition fixed, with the logits of sinks as parameters where there are any.

        attend = heed.torch.Attention(normalizer="softpick", causal="bottom-right")
        attend = heed.torch.Attention(sinks=8, causal="bottom-right", window=(127, 0))       # of 8 query heads
        out = attend(q, k, v)
    """

    def __init__(self, *, sinks: Optional[int] = None, threads: Optional[int] = None, **definition: Any) -> None:
        super().__init__()
        heed.Attention(**definition)  # says what is wrong now
        self.definition = definition
        self.threads = threads
        self.sinks = None if sinks is None else nn.Parameter(torch.zeros(sinks))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor] = None) -> Tensor:
        return attention(q, k, v, bias=bias, sinks=self.sinks, threads=self.threads, **self.definition)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.definition.items())
