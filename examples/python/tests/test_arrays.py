# SPDX-License-Identifier: MIT
"""Arrays of other packages: the buffer protocol, DLPack and __array_interface__."""
import ctypes
import gc
import weakref

import numpy as np
import pytest

import heed


class by_dlpack:
    """An array that has __dlpack__ alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **words):
        return self.array.__dlpack__(**words)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class by_interface:
    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


@pytest.mark.parametrize("wrap", [by_dlpack, by_interface, memoryview])
def test_any_array_goes_in_where_it_lies(tensors, wrap):
    q, k, v = tensors(5, 30)
    k = np.ascontiguousarray(k.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)  # with strides
    expected = heed.attend(q, k, v, normalizer="softpick")
    assert np.array_equal(heed.attend(wrap(q), wrap(k), wrap(v), normalizer="softpick"), expected)
    out = np.zeros_like(expected)
    given = wrap(out)
    assert heed.attend(q, k, v, normalizer="softpick", out=given) is given
    assert np.array_equal(out, expected)


def test_an_array_of_ctypes_goes_in():
    row = (((ctypes.c_float * 4) * 3) * 1 * 1)()
    for t in range(3):
        row[0][0][t][t] = 10.0
    assert np.array_equal(heed.attend(row, row, row), heed.attend(*(np.array(row),) * 3))


def test_nothing_is_kept_of_an_array_but_by_a_definition(tensors):
    q, k, v = tensors(5, 30)
    seen = weakref.ref(q)
    heed.attend(q, k, v)
    del q
    gc.collect()
    assert seen() is None
    mask = np.ones((5, 30), bool)
    of, seen = heed.Attention(mask=mask), weakref.ref(mask)
    del mask
    gc.collect()
    assert seen() is not None
    del of
    gc.collect()
    assert seen() is None


class on_a_device(by_dlpack):
    def __dlpack_device__(self):
        return (2, 0)


def test_what_is_no_array_of_numbers_is_refused(tensors):
    q, k, v = tensors(5, 30)
    for wrong, kind, sentence in (
        ([[1.0]], TypeError, "q is of type list, must be an array"),
        (q.astype("int8"), ValueError, "q is of format 'b', must be float32, float64"),
        (q.astype(">f4"), ValueError, "q is of format '>f'"),
        (by_interface(q.astype(">f4")), ValueError, "q is of type '>f4'"),
        (on_a_device(q), ValueError, "q lies on a device, DLPack's type 2"),
        (q[..., ::2], ValueError, "last dimension at a stride of 8 bytes; its numbers must lie side by side"),
    ):
        with pytest.raises(kind, match=sentence):
            heed.attend(wrong, k[:, :1], v)
    with pytest.raises(ValueError, match="k is float64, q is float32"):
        heed.attend(q, k.astype("float64"), v)
    odd = np.frombuffer(bytearray(q.nbytes + 1), np.uint8)[1:].view("float32").reshape(q.shape)
    with pytest.raises(ValueError, match="address that is no multiple of its 4 bytes"):
        heed.attend(odd, k, v)
