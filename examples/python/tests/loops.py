# SPDX-License-Identifier: MIT
"""What the module computes, in loops over rows and in double: the tests' own definition."""
import numpy as np


def weight_and_mass(normalizer, s):
    """w(s) and u(s), and their slopes, all times e^-m for the m that keeps them in range; and m."""
    m = max(np.max(s, initial=-np.inf), 0.0 if normalizer == "softpick" else -np.inf)
    if not np.isfinite(m):
        m = 0.0
    e = np.exp(s - m)
    if normalizer == "softmax":
        return e, e, e, e, m
    t = np.exp(s - m) - np.exp(-m) if m > 1 else np.expm1(s) * np.exp(-m)
    return np.maximum(t, 0), np.abs(t), np.where(s > 0, e, 0), np.sign(s) * e, m


def table(values, b, h, i):
    values = values.reshape((1,) * (4 - values.ndim) + values.shape)
    pick = [index if size > 1 else 0 for index, size in zip((b, h, i), values.shape)]
    return values[tuple(pick)]


def attends(b, h, i, position, keys, words):
    """Which keys row i attends."""
    j = np.arange(keys)
    result = np.ones(keys, bool)
    causal = words.get("causal")
    if causal == "bottom-right":
        result &= j <= position
    elif causal == "top-left":
        result &= j <= i
    elif causal is not None:
        result &= j <= i + causal
    left, right = words.get("window") or (None, None)
    if left is not None:
        result &= j >= position - left
    if right is not None:
        result &= j <= position + right
    if words.get("documents") is not None:
        bounds = np.asarray(words["documents"])
        own = np.zeros(keys, bool)
        for begin, end in zip(bounds, bounds[1:]):
            if begin <= position < end:
                own[begin:end] = True
        result &= own
    result |= j < words.get("prefix", 0)
    if words.get("mask") is not None:
        result &= table(np.asarray(words["mask"]), b, h, i)[:keys]
    return result


class row:
    """A row of attention: its weights p, and what its error bound needs."""

    def __init__(self, q, k, v, b, h, i, keys, words):
        normalizer = words.get("normalizer", "softmax")
        group = q.shape[1] // k.shape[1]
        q_i = q[b, h, i].astype(np.float64)
        k_j = k[b, h // group, :keys].astype(np.float64)
        self.v = v[b, h // group, :keys].astype(np.float64)
        scale = words.get("scale") or 1 / np.sqrt(q.shape[3])
        offset = words.get("query_offset")
        position = (keys - q.shape[2] if offset is None else np.broadcast_to(offset, q.shape[0])[b]) + i

        products = k_j @ q_i * scale
        self.sigma = np.abs(k_j) @ np.abs(q_i) * abs(scale)
        s = products
        cap = words.get("softcap")
        self.map_slope = np.ones_like(s)
        if cap:
            s = cap * np.tanh(products / cap)
            self.map_slope = 1 - np.tanh(products / cap) ** 2
        if words.get("alibi") is not None:
            distance = np.float64(np.float32(words["alibi"][h])) * (np.arange(keys) - position)
            s, self.sigma = s + distance, self.sigma + np.abs(distance)
        if words.get("bias") is not None:
            added = table(np.asarray(words["bias"]), b, h, i)[:keys].astype(np.float64)
            s, self.sigma = s + added, self.sigma + np.where(np.isfinite(added), np.abs(added), 0)
        self.attended = attends(b, h, i, position, keys, words) & (s > -np.inf)
        self.v = np.where(self.attended[:, None], self.v, 0)
        self.s = np.where(self.attended, s, 0)

        w, u, w1, u1, m = weight_and_mass(normalizer, self.s[self.attended])
        w, u, w1, u1 = (self.all(x) for x in (w, u, w1, u1))
        if words.get("sinks") is not None:
            extra = np.exp(np.float64(np.float32(words["sinks"][h])) - m)
        else:
            extra = (words.get("extra") or words.get("eps") or 0) * np.exp(-m)
        self.extra = extra
        self.den = extra + u.sum()
        inverse = 1 / self.den if self.den > 0 else 0.0
        self.p, self.w1, self.u1 = w * inverse, w1 * inverse, u1 * inverse
        self.lse = np.log(self.den) + m if self.den > 0 else -np.inf
        self.out = self.p @ self.v
        # |do/ds_j| of each key and channel
        self.moves = np.abs(self.w1[:, None] * self.v - self.u1[:, None] * self.out)

    def all(self, of_attended):
        result = np.zeros(len(self.attended))
        result[self.attended] = of_attended
        return result

    def bound(self, unit, channels):
        """4 u A, A the error that rounding of random signs gives (DESIGN of heed, 'When is a result right?')."""
        g1, g2 = np.sqrt(channels), np.sqrt(min(len(self.s), 512)) + np.sqrt(len(self.s) / 512 + 1)
        a = (self.moves * (1 + g1 * self.sigma + 2)[:, None]).sum(0)
        a += g2 * (np.abs(self.p)[:, None] * np.abs(self.v)).sum(0)
        return 4 * unit * a + 1e-300


def rows_of(q, k, v, lengths=None, **words):
    """(b, h, i) and the row of each."""
    for b in range(q.shape[0]):
        keys = k.shape[2] if lengths is None else int(lengths[b])
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                yield (b, h, i), row(q, k, v, b, h, i, keys, words)


UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-24, "bfloat16": 2.0**-24}


def check(out, q, k, v, lengths=None, unit=None, rounding=0.0, **words):
    """That out is right, row by row; `rounding` is that of its own type, relative."""
    unit = unit or UNIT[str(q.dtype)]
    for place, r in rows_of(q, k, v, lengths, **words):
        bound = r.bound(unit, q.shape[3]) + rounding * np.abs(r.out)
        error = np.abs(out[place].astype(np.float64) - r.out)
        assert np.all(error <= bound), (place, float((error / bound).max()), words)


def gradients(q, k, v, dout, lengths=None, dlse=None, **words):
    """dq, dk, dv, dbias [B, Hq, Sq, Skv] and dsinks in double."""
    dq, dk, dv = (np.zeros(x.shape) for x in (q, k, v))
    dbias = np.zeros((q.shape[0], q.shape[1], q.shape[2], k.shape[2]))
    dsinks = np.zeros(q.shape[1])
    group, scale = q.shape[1] // k.shape[1], words.get("scale") or 1 / np.sqrt(q.shape[3])
    for (b, h, i), r in rows_of(q, k, v, lengths, **words):
        keys, g = len(r.s), h // group
        do = dout[b, h, i].astype(np.float64)
        d = do @ r.out - (0 if dlse is None else dlse[b, h, i])
        ds = r.w1 * (r.v @ do) - r.u1 * d
        dbias[b, h, i, :keys] = ds
        if r.den > 0:
            dsinks[h] -= d * r.extra / r.den
        dv[b, g, :keys] += r.p[:, None] * do
        through = ds * r.map_slope * scale
        dq[b, h, i] = through @ k[b, g, :keys].astype(np.float64)
        dk[b, g, :keys] += through[:, None] * q[b, h, i].astype(np.float64)
    return dq, dk, dv, dbias, dsinks
