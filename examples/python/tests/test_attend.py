# SPDX-License-Identifier: MIT
"""attend beside loops in NumPy: definitions, types, layouts, promises, errors."""
import threading
import time

import numpy as np
import pytest

import heed
import loops

random = np.random.default_rng(7)
scores = random.standard_normal((1, 4, 7, 600)).astype("float32")
some_keys = random.random((2, 1, 7, 600)) < 0.5
some_keys[0, 0, 3] = False  # a row that attends nothing
far_keys = np.where(random.random((7, 600)) < 0.3, -np.inf, random.standard_normal((7, 600))).astype("float32")
far_keys[:, 512:] = -np.inf  # a key tile that is skipped

DEFINITIONS = {
    "softmax": {},
    "softpick": dict(normalizer="softpick"),
    "off by one": dict(extra=1.0),
    "sinks": dict(sinks=[0.5, -1.0, 2.0, -np.inf]),
    "eps": dict(normalizer="softpick", eps=1e-2),
    "scale": dict(scale=0.7),
    "causal, bottom-right": dict(causal="bottom-right"),
    "causal, top-left": dict(causal="top-left"),
    "causal, an offset": dict(causal=300),
    "a window": dict(causal="bottom-right", window=(100, 0)),
    "a window of one side": dict(window=(None, 2), normalizer="softpick"),
    "prefix and window": dict(causal="bottom-right", window=(20, 0), prefix=3),
    "documents": dict(documents=[0, 100, 596, 600], causal="bottom-right"),
    "softcap": dict(softcap=1.5),
    "alibi": dict(alibi=[0.5, 0.25, 0.125, 0.0625]),
    "softcap, alibi, bias": dict(softcap=2.0, alibi=[0.1, 0.2, 0.3, 0.4], bias=scores, normalizer="softpick"),
    "a bias": dict(bias=scores),
    "a bias of -inf": dict(bias=far_keys, normalizer="softpick"),
    "a mask": dict(mask=some_keys),
    "a mask and causal": dict(mask=some_keys, causal="bottom-right", normalizer="softpick"),
    "a position": dict(query_offset=200, causal="bottom-right"),
    "positions": dict(query_offset=[200, 513], causal="bottom-right"),
}


@pytest.mark.parametrize("words", DEFINITIONS.values(), ids=DEFINITIONS.keys())
def test_a_definition_is_what_loops_say(tensors, words):
    q, k, v = tensors(7, 600)
    loops.check(heed.attend(q, k, v, **words), q, k, v, **words)


@pytest.mark.parametrize("normalizer", ["softmax", "softpick"])
def test_float64_is_computed_in_double(tensors, normalizer):
    q, k, v = tensors(5, 530, dtype="float64")
    bias = np.where(scores[:, :, :5, :530] > 1, -np.inf, scores[:, :, :5, :530]).astype("float64")
    words = dict(normalizer=normalizer, causal="bottom-right", bias=bias)
    loops.check(heed.attend(q, k, v, **words), q, k, v, **words)


@pytest.mark.parametrize("normalizer", ["softmax", "softpick"])
def test_float16_goes_in_and_comes_out(tensors, normalizer):
    q, k, v = tensors(5, 60, dtype="float16")
    out = heed.attend(q, k, v, normalizer=normalizer)
    assert out.dtype == np.float16
    loops.check(out, q, k, v, normalizer=normalizer, rounding=2.0**-11)


def test_prefill_and_lengths_of_sequences(tensors):
    q, k, v = tensors(70, 90, B=3)
    k[1, :, 64:] = np.nan  # not read
    words = dict(causal="bottom-right", lengths=[90, 64, 0])
    loops.check(heed.attend(q, k, v, **words), q, k, v, **words)


def test_strided_inputs_are_read_in_place(tensors):
    q, k, v = tensors(9, 70)
    expected = heed.attend(q, k, v, normalizer="softpick")
    by_token = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v)]
    assert np.array_equal(heed.attend(*by_token, normalizer="softpick"), expected)
    backwards = [np.ascontiguousarray(x[:, ::-1])[:, ::-1] for x in (q, k, v)]
    assert backwards[0].strides[1] < 0
    assert np.array_equal(heed.attend(*backwards, normalizer="softpick"), expected)
    repeated = np.broadcast_to(k[:1], k.shape), np.broadcast_to(v[:1], v.shape)
    assert np.array_equal(heed.attend(q, *repeated)[1:], heed.attend(q[1:], k[:1], v[:1]))
    padded = np.zeros((2, 4, 9, 40), "float32")[..., 8:25]
    assert heed.attend(q, k, v, normalizer="softpick", out=padded) is padded
    assert np.array_equal(padded, expected)


def test_bits_do_not_depend_on_threads_or_chunks(tensors):
    q, k, v = tensors(40, 1100)
    whole = heed.attend(q, k, v, causal="bottom-right", threads=1)
    for threads in (2, 3, None):
        assert np.array_equal(heed.attend(q, k, v, causal="bottom-right", threads=threads), whole)
    last = heed.attend(q[:, :, 37:], k, v, causal="bottom-right", threads=2)
    assert np.array_equal(last, whole[:, :, 37:])


def test_a_masked_key_is_selected_out(tensors):
    q, k, v = tensors(4, 20)
    mask = np.ones((4, 20), bool)
    mask[:, 5:9] = False
    expected = heed.attend(q, k, v, mask=mask)
    k[:, :, 5:9], v[:, :, 5:9] = np.nan, np.inf
    assert np.array_equal(heed.attend(q, k, v, mask=mask), expected)


def test_tables_are_looked_at_in_place(tensors):
    q, k, v = tensors(4, 20)
    mask = np.ones((4, 20), bool)
    of = heed.Attention(mask=mask)
    mask[:, 1:] = False
    only_key = np.repeat(v[:, [0, 0, 1, 1], :1], 4, axis=2)
    assert np.all(np.abs(heed.attend(q, k, v, attention=of) - only_key) <= 2.0**-23 * np.abs(only_key))


def test_statistics_are_those_of_rows(tensors):
    q, k, v = tensors(6, 50)
    for words in (dict(), dict(normalizer="softpick", eps=0.1), dict(sinks=[1, 2, 3, 4])):
        _, stats = heed.attend(q, k, v, stats=True, causal=-2, **words)
        for place, r in loops.rows_of(q, k, v, causal=-2, **words):
            near = 2e-6 * (1 + r.sigma.max())
            if r.attended.any():
                mass = np.log(stats.mass[place]) + stats.shift[place] * np.log(2)
                assert abs(stats.lse[place] - r.lse) < near
                assert abs(mass - (np.log(r.den - r.extra) + r.lse - np.log(r.den))) < near
            else:
                assert stats.mass[place] == 0 and np.isclose(stats.lse[place], r.lse)


def test_empty_sizes_are_legal():
    for shape in ((0, 4, 3, 8), (2, 4, 0, 8)):
        q, k = np.zeros(shape, "float32"), np.zeros((shape[0], 2, 5, 8), "float32")
        assert heed.attend(q, k, k).shape == shape
    q, k = np.ones((1, 2, 3, 8), "float32"), np.ones((1, 2, 0, 8), "float32")
    assert not heed.attend(q, k, k).any()


def test_other_threads_run_meanwhile(tensors):
    q, k, v = tensors(512, 3000, D=64, Dv=64, Hq=8, Hkv=8)
    span, seen, begun = [], [], threading.Event()

    def attend():
        begun.set()
        span.append(time.perf_counter())
        heed.attend(q, k, v, threads=1)
        span.append(time.perf_counter())

    thread = threading.Thread(target=attend)
    thread.start()
    begun.wait()
    while thread.is_alive():
        seen.append(time.perf_counter())
    begin, end = span
    assert any(begin + (end - begin) / 4 < t < end - (end - begin) / 4 for t in seen)


ERRORS = {
    "the heads": (dict(k=(2, 3, 20, 8), v=(2, 3, 20, 8)), {}, "q.heads 4 is not a multiple of"),
    "the channels": (dict(k=(2, 2, 20, 9)), {}, "dim"),
    "the tokens": (dict(v=(2, 2, 21, 8)), {}, "tokens 21"),
    "three dimensions": (dict(q=(4, 5, 8)), {}, r"attend: q is \[4, 5, 8\], must have four dimensions"),
    "a bool for causal": ({}, dict(causal=True), "say how"),
    "another normalizer": ({}, dict(normalizer="entmax"), "must be 'softmax'.* or 'softpick'"),
    "sinks of softpick": ({}, dict(normalizer="softpick", sinks=[0] * 4), "an argument of softmax"),
    "too few sinks": ({}, dict(sinks=[0.0]), "softmax_sink: 1 logits for 4 query heads"),
    "a negative eps": ({}, dict(normalizer="softpick", eps=-1), "softpick: eps is -1"),
    "a scale": ({}, dict(scale=float("nan")), "scale: nan is not finite"),
    "a cap": ({}, dict(softcap=-1.0), "softcap is -1"),
    "too few slopes": ({}, dict(alibi=[]), "alibi: 0 slopes for 4 query heads"),
    "a window": ({}, dict(window=(-1, 0)), "window: left -1"),
    "a prefix": ({}, dict(prefix=-2), "prefix: -2 keys"),
    "documents": ({}, dict(documents=[0, 9, 4]), r"bounds\[2\] = 4 is below"),
    "a mask's size": ({}, dict(mask=np.ones((3, 20), bool)), r"attention_mask: \[1, 1, 3, 20\] does not broadcast"),
    "a mask of numbers": ({}, dict(mask=np.ones((5, 20))), "mask is float64, must be bool"),
    "a bias of double": ({}, dict(bias=np.ones((5, 20))), "bias is float64, must be float32"),
    "lengths": ({}, dict(lengths=[20, 21]), r"lengths\[1\] = 21 is not in \[0, 20\]"),
    "too few lengths": ({}, dict(lengths=[20]), "1 lengths for 2 sequences"),
    "offsets": ({}, dict(query_offset=[1, 2, 3]), "query_offset: 3 entries for batch 2"),
    "threads": ({}, dict(threads=0), "threads is 0, must be from 1 to 1024"),
}


@pytest.mark.parametrize("shapes, words, sentence", ERRORS.values(), ids=ERRORS.keys())
def test_an_error_says_what_is_wrong_and_nothing_is_written(shapes, words, sentence):
    sizes = dict(q=(2, 4, 5, 8), k=(2, 2, 20, 8), v=(2, 2, 20, 8))
    sizes.update(shapes)
    q, k, v = (np.ones(sizes[name], "float32") for name in "qkv")
    out = np.full((2, 4, 5, 8), 7, "float32")
    with pytest.raises(ValueError, match=sentence):
        heed.attend(q, k, v, out=out, **words)
    assert (out == 7).all()


def test_an_argument_that_there_is_not_is_named(tensors):
    q, k, v = tensors(3, 5)
    with pytest.raises(TypeError, match="no argument is called dropout; a definition takes normalizer, extra"):
        heed.attend(q, k, v, dropout=0.1)
    with pytest.raises(TypeError, match="v is missing"):
        heed.attend(q, k)
    with pytest.raises(TypeError, match="one of attention and the arguments of a definition, scale"):
        heed.attend(q, k, v, attention=heed.Attention(), scale=1.0)


def test_an_output_of_another_shape_or_type_is_refused(tensors):
    q, k, v = tensors(3, 5)
    with pytest.raises(ValueError, match="out"):
        heed.attend(q, k, v, out=np.zeros((2, 4, 3, 16), "float32"))
    with pytest.raises(ValueError, match="out is float64, must be float32"):
        heed.attend(q, k, v, out=np.zeros((2, 4, 3, 17)))
    fixed = np.zeros((2, 4, 3, 17), "float32")
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out cannot be written to"):
        heed.attend(q, k, v, out=fixed)
    memory = np.zeros((2, 4, 5, 17), "float32")
    with pytest.raises(ValueError, match="out overlaps k or v"):
        heed.attend(q, k, memory[:, :2], out=memory[:, :, :3])
