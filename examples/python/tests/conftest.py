# SPDX-License-Identifier: MIT
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def tensors():
    """Makes q, k and v of a seed: tensors(Sq, Skv, B=.., Hq=.., Hkv=.., D=.., Dv=.., dtype=..)."""

    def make(queries, keys, B=2, Hq=4, Hkv=2, D=24, Dv=17, dtype="float32", seed=1):
        random = np.random.default_rng(seed)
        shapes = (B, Hq, queries, D), (B, Hkv, keys, D), (B, Hkv, keys, Dv)
        return tuple(random.standard_normal(shape).astype(dtype) for shape in shapes)

    return make
