# SPDX-License-Identifier: MIT
"""Partial states: folded in order they have the bits of one call; merged, those of rounding."""
import pickle

import numpy as np
import pytest

import heed
import loops

DEFINITIONS = [dict(), dict(normalizer="softpick", eps=0.1), dict(sinks=[0.5, 1.0, -1.0, 2.0], causal="bottom-right")]


@pytest.mark.parametrize("words", DEFINITIONS)
def test_parts_folded_in_order_are_one_call(tensors, words):
    q, k, v = tensors(3, 1300)
    whole, stats = heed.attend(q, k, v, stats=True, **words)
    state = None
    for first in range(0, 1300, heed.KEY_TILE):
        part = slice(first, first + heed.KEY_TILE)
        state = heed.attend_partial(q, k[:, :, part], v[:, :, part], state=state, first_key=first, total_keys=1300,
                                    **words)
    out, lse = state.finish(lse=True)
    assert np.array_equal(out, whole) and np.array_equal(lse, stats.lse)


@pytest.mark.parametrize("words", DEFINITIONS)
def test_merged_states_are_right_in_either_order(tensors, words):
    q, k, v = tensors(3, 700)
    parts = [heed.attend_partial(q, k[:, :, a:b], v[:, :, a:b], first_key=a, total_keys=700, **words)
             for a, b in ((0, 300), (300, 700))]
    parts[1] = pickle.loads(pickle.dumps(parts[1]))  # as another process would send it
    out = heed.merge(*parts).finish()
    loops.check(out, q, k, v, **words)
    assert np.array_equal(heed.merge(*parts[::-1]).finish(), out)
    own = parts[0].copy()
    own.merge(parts[1])
    assert np.array_equal(own.finish(out=np.empty_like(out)), out)


def test_states_of_two_normalizers_do_not_merge(tensors):
    q, k, v = tensors(3, 40)
    a, b = heed.attend_partial(q, k, v), heed.attend_partial(q, k, v, normalizer="softpick")
    with pytest.raises(ValueError, match="states of two normalizers, softmax and softpick"):
        a.merge(b)
    with pytest.raises(ValueError, match="another normalizer"):
        heed.attend_partial(q, k, v, state=b)
    with pytest.raises(ValueError, match="merge: other"):
        a.merge(heed.attend_partial(q[:, :, :2], k, v))
    with pytest.raises(ValueError, match="40 keys from key 0 on, of 30 in all"):
        heed.attend_partial(q, k, v, total_keys=30)
