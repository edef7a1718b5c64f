# SPDX-License-Identifier: MIT
"""heed.torch beside matmul and softmax in PyTorch: values, gradients, and the conventions of torch 2."""
import math

import numpy as np
import pytest

import heed

torch = pytest.importorskip("torch", reason="python3-torch is not installed")
import heed.torch as ht  # noqa: E402


def by_matmul(q, k, v, allowed=None, bias=None, normalizer="softmax", scale=None, sinks=None):
    """Attention as PyTorch's own operations: matmul, then softmax or the published softpick."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    s = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if bias is not None:
        s = s + bias
    if allowed is None:
        allowed = torch.ones(s.shape[-2:], dtype=torch.bool)
    s = s.masked_fill(~allowed, -math.inf)
    if normalizer == "softpick":
        t = torch.where(allowed, torch.exp(s) - 1, torch.zeros_like(s))
        return (torch.relu(t) / t.abs().sum(-1, keepdim=True)) @ v
    if sinks is not None:
        s = torch.cat([s, sinks.view(1, -1, 1, 1).expand(*s.shape[:3], 1)], -1)
        return torch.softmax(s, -1)[..., :-1] @ v
    return torch.softmax(s, -1) @ v


def drawn(dtype=torch.float64, queries=5, keys=9, Hq=4, Hkv=2, gradient=True):
    torch.manual_seed(3)
    make = lambda h, n, d: torch.randn(2, h, n, d, dtype=dtype).requires_grad_(gradient)  # noqa: E731
    return make(Hq, queries, 8), make(Hkv, keys, 8), make(Hkv, keys, 6)


def causal(queries, keys, offset):
    return torch.arange(keys)[None] <= torch.arange(queries)[:, None] + offset


def same_gradients(ours, theirs, inputs, tolerance):
    towards = torch.randn_like(theirs)
    got = torch.autograd.grad(ours, inputs, towards)
    wanted = torch.autograd.grad(theirs, inputs, towards)
    assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for a, b in zip(got, wanted):
        assert a.dtype == b.dtype and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("normalizer", ["softmax", "softpick"])
def test_attention_has_the_gradients_of_matmul_and_softmax(normalizer):
    q, k, v = drawn()
    ours = ht.attention(q, k, v, normalizer=normalizer, causal="bottom-right")
    same_gradients(ours, by_matmul(q, k, v, causal(5, 9, 4), normalizer=normalizer), (q, k, v), 1e-12)


def test_softpick_attention_passes_gradcheck():
    q, k, v = drawn(queries=3, keys=4)
    assert torch.autograd.gradcheck(lambda *x: ht.softpick_attention(*x, causal=True, eps=0.1), (q, k, v))
    assert torch.autograd.gradcheck(lambda *x: ht.attention(*x, softcap=2.0), (q, k, v))


def test_bias_and_sinks_are_learnt():
    q, k, v = drawn(torch.float32)
    bias = torch.randn(1, 4, 5, 9, requires_grad=True)
    sinks = torch.randn(4, requires_grad=True)
    ours = ht.attention(q, k, v, bias=bias, sinks=sinks)
    same_gradients(ours, by_matmul(q, k, v, bias=bias, sinks=sinks), (q, k, v, bias, sinks), 2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_go_in_and_come_out(dtype):
    q, k, v = drawn(dtype)
    out = ht.softpick_attention(q, k, v)
    assert out.dtype == dtype
    wide = [x.detach().float().requires_grad_() for x in (q, k, v)]
    exact = by_matmul(*wide, causal(5, 9, 4), normalizer="softpick")
    step = torch.finfo(dtype).eps
    assert torch.allclose(out.float(), exact, rtol=step, atol=1e-5)
    got = torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
    for a, b in zip(got, torch.autograd.grad(exact, wide, torch.ones_like(exact))):
        assert a.dtype == dtype and (a.float() - b).abs().max() <= 4 * step * b.abs().max()


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_drop_in_is_top_left_causal(is_causal):
    q, k, v = drawn(Hkv=4)
    ours = ht.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    same_gradients(ours, by_matmul(q, k, v, causal(5, 9, 0) if is_causal else None), (q, k, v), 1e-12)


def test_the_drop_in_takes_masks_of_bool_and_float():
    q, k, v = drawn(Hkv=4)
    allowed = torch.rand(2, 1, 5, 9) < 0.6
    allowed[..., 0] = True
    same_gradients(ht.scaled_dot_product_attention(q, k, v, allowed), by_matmul(q, k, v, allowed), (q, k, v), 1e-12)
    added = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    same_gradients(ht.scaled_dot_product_attention(q, k, v, added, scale=0.3),
                   by_matmul(q, k, v, bias=added, scale=0.3), (q, k, v, added), 1e-12)
    per_key = torch.rand(1, 9) < 2
    assert torch.equal(ht.scaled_dot_product_attention(q, k, v, per_key), ht.scaled_dot_product_attention(q, k, v))


def test_the_drop_in_takes_any_leading_dimensions():
    q, k, v = drawn(gradient=False, Hkv=4)
    whole = ht.scaled_dot_product_attention(q, k, v)
    assert torch.equal(ht.scaled_dot_product_attention(q[0, 0], k[0, 0], v[0, 0]), whole[0, 0])
    assert torch.equal(ht.scaled_dot_product_attention(q[1], k[1], v[1]), whole[1])
    assert torch.equal(ht.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None]), whole[:, None])
    assert torch.equal(ht.scaled_dot_product_attention(q, k[:1, :1], v[:1, :1])[0, 0], whole[0, 0])
    grouped = ht.scaled_dot_product_attention(q, k[:, :2], v[:, :2], enable_gqa=True)
    assert torch.equal(grouped, ht.attention(q, k[:, :2], v[:, :2]))


def test_the_drop_in_refuses_what_heed_has_not():
    q, k, v = drawn(gradient=False, Hkv=4)
    with pytest.raises(ValueError, match="dropout_p is 0.1; heed has no dropout"):
        ht.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
    with pytest.raises(ValueError, match="one of attn_mask and is_causal"):
        ht.scaled_dot_product_attention(q, k, v, torch.ones(5, 9) > 0, is_causal=True)
    with pytest.raises(ValueError, match=r"attn_mask \[4, 9\] does not broadcast"):
        ht.scaled_dot_product_attention(q, k, v, torch.ones(4, 9) > 0)
    with pytest.raises(ValueError, match="q, k and v are .* these have 3"):
        ht.attention(q[0], k[0], v[0])


def test_the_module_learns_its_sinks():
    q, k, v = drawn(torch.float32)
    attend = ht.Attention(sinks=4, causal="bottom-right")
    assert [name for name, _ in attend.named_parameters()] == ["sinks"] and "bottom-right" in repr(attend)
    attend(q, k, v).sum().backward()
    assert attend.sinks.grad.abs().min() > 0 and q.grad.abs().max() > 0
    with pytest.raises(ValueError, match="must be 'softmax'"):
        ht.Attention(normalizer="sparsemax")


def test_tensors_go_in_where_they_lie():
    q, k, v = (x.detach() for x in drawn(torch.float32))
    expected = heed.attend(q.numpy(), k.numpy(), v.numpy())
    assert np.array_equal(heed.attend(q, k, v), expected)
    out = torch.zeros(2, 4, 5, 6)
    assert heed.attend(q, k, v, out=out) is out and np.array_equal(out.numpy(), expected)
    by_token = q.transpose(1, 2).contiguous().transpose(1, 2)
    assert np.array_equal(ht.attention(by_token, k, v).numpy(), expected)
    spread = torch.zeros(2, 4, 5, 16)[..., ::2]
    assert np.array_equal(ht.attention(spread, k, v).numpy(), heed.attend(np.zeros((2, 4, 5, 8), "float32"), k, v))
    allowed = torch.rand(5, 9) < 0.5
    assert np.array_equal(heed.attend(q, k, v, mask=allowed), heed.attend(q, k, v, mask=allowed.numpy()))
    with pytest.raises(ValueError, match="out must be given"):
        heed.attend(q.bfloat16(), k.bfloat16(), v.bfloat16())


def test_forward_frees_what_it_needs_no_more():
    q, k, v = drawn(torch.float32)
    out = ht.softpick_attention(q, k, v)
    out.sum().backward()
    with pytest.raises(RuntimeError):
        out.sum().backward()
