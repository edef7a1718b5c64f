# SPDX-License-Identifier: MIT
"""Exact attention on CPUs, where the function that turns scores into weights is softmax or softpick.

    import heed, numpy as np
    q, k, v = (np.random.randn(1, 8, 512, 64).astype("float32") for _ in range(3))
    out = heed.attend(q, k, v, normalizer="softpick", causal="bottom-right")

help(heed.attend) has the arguments, help(heed.Attention) what can be computed; heed.torch is for PyTorch.
"""
from ._heed import (
    KEY_TILE,
    Attention,
    Cache,
    Gradients,
    PagedCache,
    RingCache,
    State,
    Stats,
    __version__,
    arch,
    attend,
    attend_partial,
    attention_map,
    backward,
    isa,
    merge,
    observe,
    supported,
)

__all__ = [
    "KEY_TILE", "Attention", "Cache", "Gradients", "PagedCache", "RingCache", "State", "Stats", "arch", "attend",
    "attend_partial", "attention_map", "backward", "isa", "merge", "observe", "supported",
]
