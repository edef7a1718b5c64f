# SPDX-License-Identifier: MIT
"""Gradients beside those of loops in double."""
import numpy as np
import pytest

import heed
import loops

random = np.random.default_rng(3)
bias = random.standard_normal((1, 4, 6, 70))
bias[0, 1, 2, ::3] = -np.inf

DEFINITIONS = {
    "softmax": {},
    "softpick": dict(normalizer="softpick"),
    "causal softpick": dict(normalizer="softpick", causal="bottom-right", eps=0.3),
    "softcap and window": dict(softcap=1.0, causal="bottom-right", window=(30, 0)),
    "bias": dict(bias=bias),
    "softcap, alibi, bias": dict(bias=bias, softcap=2.0, alibi=[0.1, 0.2, 0.3, 0.4], normalizer="softpick"),
    "sinks": dict(sinks=[0.5, -1.0, 2.0, 0.0]),
}


@pytest.mark.parametrize("words", DEFINITIONS.values(), ids=DEFINITIONS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_those_of_loops(tensors, dtype, words):
    q, k, v = tensors(6, 70, dtype=dtype)
    words = {name: value.astype(dtype) if name == "bias" else value for name, value in words.items()}
    dout = random.standard_normal((2, 4, 6, 17)).astype(dtype)
    dlse = random.standard_normal((2, 4, 6)).astype(dtype)
    wants = ["dq", "dk", "dv"] + ["dbias"] * ("bias" in words) + ["dsinks"] * ("sinks" in words)
    out, stats = heed.attend(q, k, v, stats=True, **words)
    got = heed.backward(q, k, v, out, stats, dout, dlse=dlse, wants=wants, **words)
    dq, dk, dv, dbias, dsinks = loops.gradients(q, k, v, dout, dlse=dlse, **words)
    unit = np.finfo(dtype).eps
    expected = dict(dq=dq, dk=dk, dv=dv, dbias=dbias.sum(0, keepdims=True), dsinks=dsinks)
    for name, of in expected.items():
        gradient = getattr(got, name)
        if name not in wants:
            assert gradient is None
            continue
        assert gradient.dtype == dtype and gradient.shape == of.shape
        # the size of what is summed, for rows that cancel
        assert np.abs(gradient - of).max() <= 60 * unit * np.abs(of).max(), name


def test_lengths_end_gradients(tensors):
    q, k, v = tensors(5, 40)
    out, stats = heed.attend(q, k, v, stats=True, lengths=[40, 17])
    got = heed.backward(q, k, v, out, stats, np.ones_like(out), lengths=[40, 17])
    assert not got.dk[1, :, 17:].any() and not got.dv[1, :, 17:].any() and got.dv[1, :, :17].all()


def test_what_is_not_there_is_not_wanted(tensors):
    q, k, v = tensors(5, 40)
    out, stats = heed.attend(q, k, v, stats=True)
    for name in ("dbias", "dsinks"):
        with pytest.raises(ValueError, match=f"{name} is wanted of a definition without"):
            heed.backward(q, k, v, out, stats, out, wants=[name])
    with pytest.raises(ValueError, match="must be of dq, dk, dv"):
        heed.backward(q, k, v, out, stats, out, wants=["dw"])
    with pytest.raises(ValueError, match=r"stats.shift is \[2, 4, 5\], must be \[2, 4, 4\]"):
        heed.backward(q[:, :, :4], k, v, out[:, :, :4], stats, out[:, :, :4])
    half = [x.astype("float16") for x in (q, k, v)]
    out, stats = heed.attend(*half, stats=True)
    with pytest.raises(ValueError, match="backward: keys of float16; this module has float32, float64"):
        heed.backward(*half, out, stats, out)
