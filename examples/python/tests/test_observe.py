# SPDX-License-Identifier: MIT
"""What weights are like, beside the weights of loops."""
import numpy as np
import pytest

import heed
import loops

WORDS = [dict(causal="bottom-right"), dict(normalizer="softpick", causal="bottom-right", window=(40, 0), prefix=2)]


@pytest.mark.parametrize("words", WORDS)
def test_a_map_has_the_weights(tensors, words):
    q, k, v = tensors(30, 80)
    _, stats = heed.attend(q, k, v, stats=True, **words)
    got = heed.attention_map(q, k, stats, batch=1, head=2, first_row=4, rows=20, **words)
    assert got.shape == (20, 80) and got.dtype == np.float32
    for (b, h, i), r in loops.rows_of(q, k, v, **words):
        if b == 1 and h == 2 and 4 <= i < 24:
            assert np.abs(got[i - 4] - r.p).max() < 1e-6 * (1 + r.sigma.max())
            assert not got[i - 4][~r.attended].any()
    assert heed.attention_map(q, k, stats, **words).shape == (30, 80)


@pytest.mark.parametrize("words", WORDS)
def test_observations_are_those_of_weights(tensors, words):
    q, k, v = tensors(30, 80)
    _, stats = heed.attend(q, k, v, stats=True, **words)
    wants = ["max_score", "lse", "entropy", "total", "first_token", "mean_distance", "attended", "zeros", "small"]
    got = heed.observe(q, k, stats, wants=wants, top_k=3, small_weight=1e-3, **words)
    assert set(got) == {*wants, "top_keys", "top_weights"}
    assert np.array_equal(got["lse"], stats.lse)
    for (b, h, i), r in loops.rows_of(q, k, v, **words):
        at, p = (b, h, i), r.p
        near = 1e-5 * (1 + r.sigma.max())
        assert got["attended"][at] == r.attended.sum()
        assert abs(got["total"][at] - p.sum()) < near and abs(got["first_token"][at] - p[0]) < near
        assert abs(got["max_score"][at] - r.s[r.attended].max()) < near
        assert abs(got["entropy"][at] + (p[p > 0] * np.log(p[p > 0])).sum()) < 10 * near
        clear = np.abs(r.s) > near  # softpick's zeros: scores that are surely not positive
        assert abs(got["zeros"][at] - (r.attended & (p == 0)).sum()) <= (~clear).sum()
        order = np.argsort(-p, kind="stable")[:3]
        for rank, key in enumerate(order):
            if p[key] > near:
                assert abs(got["top_weights"][at][rank] - p[key]) < near


def test_a_cache_is_observed_as_its_arrays(tensors):
    q, k, v = tensors(3, 50)
    cache = heed.PagedCache(2, 2, 14, 8, 24, value_dim=17)
    cache.append(k, v)
    _, stats = heed.attend(q, cache, stats=True)
    assert np.array_equal(heed.attention_map(q, cache, stats, head=3), heed.attention_map(q, k, stats, head=3))


def test_errors_name_what_there_is(tensors):
    q, k, v = tensors(3, 50)
    _, stats = heed.attend(q, k, v, stats=True)
    with pytest.raises(ValueError, match="head 4 of 4"):
        heed.attention_map(q, k, stats, head=4)
    with pytest.raises(ValueError, match="2 rows from row 2 on, of 3"):
        heed.attention_map(q, k, stats, first_row=2, rows=2)
    with pytest.raises(ValueError, match="wants 'age', must be of max_score, lse"):
        heed.observe(q, k, stats, wants=["age"])
    wide = [x.astype("float64") for x in (q, k, v)]
    _, stats = heed.attend(*wide, stats=True)
    with pytest.raises(ValueError, match="observe: keys of float64; this module has float32"):
        heed.observe(*wide[:2], stats)
