# SPDX-License-Identifier: MIT
"""Caches: what is appended is attended to, as rounded, whatever the storage."""
import numpy as np
import pytest

import heed
import loops


def q8_0(x):
    """Blocks of 32: a scale of float16, and the nearest whole numbers of it."""
    blocks = x.reshape(*x.shape[:-1], -1, 32).astype(np.float64)
    scale = (np.abs(blocks).max(-1, keepdims=True) / 127).astype(np.float16).astype(np.float64)
    return (np.rint(blocks / scale) * scale).astype(np.float32).reshape(x.shape)


def bfloat16(x):
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


STORED = {"float32": lambda x: x, "float16": lambda x: x.astype("float16").astype("float32"), "bfloat16": bfloat16,
          "q8_0": q8_0}


def filled(cache, k, v, steps):
    """Appends tokens in steps of some sizes, to all sequences."""
    at = 0
    while at < k.shape[2]:
        n = min(steps[at % len(steps)], k.shape[2] - at)
        cache.append(k[:, :, at:at + n], v[:, :, at:at + n])
        at += n
    return cache


@pytest.mark.parametrize("dtype", STORED)
def test_a_cache_holds_what_its_type_can(tensors, dtype):
    _, k, v = tensors(1, 40, D=64, Dv=32)
    cache = filled(heed.Cache(2, 2, 50, 64, value_dim=32, dtype=dtype), k, v, [7, 1, 12])
    for b in (0, 1):
        got_k, got_v = cache.fetch(b)
        assert np.array_equal(got_k, STORED[dtype](k)[b]) and np.array_equal(got_v, STORED[dtype](v)[b])
    assert list(cache.lengths) == [40, 40]


@pytest.mark.parametrize("dtype", ["float32", "q8_0", "q4_0", "float16", "float64"])
@pytest.mark.parametrize("kind", ["Cache", "RingCache", "PagedCache"])
@pytest.mark.parametrize("normalizer", ["softmax", "softpick"])
def test_storage_changes_no_bit(tensors, kind, dtype, normalizer):
    rows = "float64" if dtype == "float64" else "float32"
    q, k, v = tensors(3, 90, D=64, Dv=64, dtype=rows)
    if dtype == "float16":
        q = q.astype("float16")
    sizes = (12, 16) if kind == "PagedCache" else (90,)
    cache = filled(getattr(heed, kind)(2, 2, *sizes, 64, dtype=dtype), k, v, [5, 30, 1])
    words = dict(normalizer=normalizer, causal="bottom-right", window=(80, 0))
    stored = [np.stack(x).astype(q.dtype) for x in zip(cache.fetch(0), cache.fetch(1))]
    out = heed.attend(q, cache, **words)
    assert np.array_equal(out, heed.attend(q, *stored, **words))
    loops.check(out, q, *stored, rounding=2.0**-11 if dtype == "float16" else 0, **words)


def test_a_ring_keeps_the_last_tokens(tensors):
    q, k, v = tensors(2, 150)
    ring = filled(heed.RingCache(2, 2, 64, 24, value_dim=17), k, v, [10, 3, 1])
    assert list(ring.lengths) == [150, 150]
    words = dict(causal="bottom-right")
    mask = np.zeros((2, 150), bool)
    mask[:, 150 - 64:] = True
    assert np.array_equal(heed.attend(q, ring, **words), heed.attend(q, k, v, mask=mask, **words))
    with pytest.raises(ValueError, match="65 tokens at once to a ring of 64"):
        ring.append(k[:, :, :65], v[:, :, :65])
    ring.truncate(0, 145)  # the slots of rejected drafts hold no older tokens
    mask = np.zeros((2, 145), bool)
    mask[:, 150 - 64:] = True
    assert np.array_equal(heed.attend(q, ring, **words)[0],
                          heed.attend(q[:1], k[:1, :, :145], v[:1, :, :145], mask=mask, **words)[0])


def test_pages_come_from_a_pool_and_go_back(tensors):
    _, k, v = tensors(1, 40)
    cache = heed.PagedCache(2, 2, 5, 16, 24, value_dim=17)
    cache.append(k[0], v[0], sequence=0)
    assert list(cache.lengths) == [40, 0] and len(cache.pages(0)) == 3 and cache.free_pages == 2
    with pytest.raises(ValueError, match="sequence 1 needs more pages than the 2 that are free"):
        cache.append(k[1], v[1], sequence=1)
    assert list(cache.lengths) == [40, 0] and cache.free_pages == 2
    cache.append(k[1, :, :20], v[1, :, :20], sequence=1)
    cache.truncate(0, 16)
    assert cache.free_pages == 2 and len(set(cache.pages(0) + cache.pages(1))) == 3
    cache.append(k[0, :, 16:20], v[0, :, 16:20], sequence=0)
    assert np.array_equal(cache.fetch(0)[0], k[0, :, :20]) and np.array_equal(cache.fetch(1)[1], v[1, :, :20])


def test_sequences_have_lengths_of_their_own(tensors):
    q, k, v = tensors(2, 40)
    cache = heed.Cache(2, 2, 64, 24, value_dim=17)
    cache.append(k[0], v[0], sequence=0)
    cache.append(k[1:, :, :9], v[1:, :, :9], sequence=1)
    words = dict(causal="bottom-right", normalizer="softpick")
    assert np.array_equal(heed.attend(q, cache, **words), heed.attend(q, k, v, lengths=[40, 9], **words))


def test_errors_leave_a_cache_as_it_was(tensors):
    q, k, v = tensors(1, 20)
    cache = heed.Cache(2, 2, 30, 24, value_dim=17)
    cache.append(k, v)
    for arguments, sentence in (((k, v), "sequence 0: 40 tokens in a cache of 30"),
                                ((k[:, :1], v), r"append: k is \[2, 1, 20, 24\], must be \[2, 2, 20, 24\]"),
                                ((k, v[..., :3]), r"append: v is"), ((k.astype("float64"), v), "must be float32"),
                                ((k[0], v[0], 2), "sequence is 2, of 2")):
        with pytest.raises(ValueError, match=sentence):
            cache.append(*arguments)
    assert list(cache.lengths) == [20, 20] and np.array_equal(cache.fetch(1)[0], k[1])
    with pytest.raises(ValueError, match="multiples of 32"):
        heed.Cache(1, 1, 8, 24, dtype="q8_0")
    with pytest.raises(ValueError, match="dtype is 'int3'"):
        heed.Cache(1, 1, 8, 24, dtype="int3")
    with pytest.raises(ValueError, match="q is float64, must be float32 beside a cache of float32"):
        heed.attend(q.astype("float64"), cache)
    with pytest.raises(ValueError, match="fetch"):
        cache.fetch(0, 0, 21)
    with pytest.raises(ValueError, match="gradients are of arrays"):
        heed.backward(q, cache, None, q, heed.Stats(q, q), q)
