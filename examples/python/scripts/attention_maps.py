#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws what the twins of the box attend to: two small language models that differ in their normalizer alone.

    python3 attention_maps.py --out attention_maps.png

The models (examples/twins/box) run here in NumPy, with attention by heed; heed.attention_map gives the weights of the
head of each layer that attends to the first token most.
"""
import argparse
import struct
from pathlib import Path

import numpy as np

import heed

BOX = Path(__file__).resolve().parents[2] / "twins" / "box"


class Model:
    """A checkpoint of llama2.c's first format, its numbers bfloat16."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            sizes = struct.unpack("7i", file.read(28))
            numbers = np.frombuffer(file.read(), np.uint16)
        self.dim, self.hidden, self.layers, self.heads, self.kv_heads, vocabulary, context = sizes
        self.head = self.dim // self.heads
        kv_dim = self.kv_heads * self.head
        shapes = {
            "embedding": (vocabulary, self.dim), "attention_norm": (self.layers, self.dim),
            "wq": (self.layers, self.dim, self.dim), "wk": (self.layers, kv_dim, self.dim),
            "wv": (self.layers, kv_dim, self.dim),
            "wo": (self.layers, self.dim, self.dim), "ffn_norm": (self.layers, self.dim),
            "w1": (self.layers, self.hidden, self.dim), "w2": (self.layers, self.dim, self.hidden),
            "w3": (self.layers, self.hidden, self.dim), "final_norm": (self.dim,),
        }
        expected = sum(int(np.prod(shape)) for shape in shapes.values()) + context * self.head
        if len(numbers) != expected:
            raise SystemExit(f"{path}: {len(numbers)} numbers of 16 bits, must be {expected} for its sizes")
        self.of = {}
        at = 0
        for name, shape in shapes.items():
            n = int(np.prod(shape))
            self.of[name] = (numbers[at:at + n].astype(np.uint32) << 16).view(np.float32).reshape(shape)
            at += n

    def run(self, tokens, normalizer: str):
        """The logits of each token, and q, k and statistics of each layer."""
        of = self.of
        x = of["embedding"][tokens]
        looked = []
        for layer in range(self.layers):
            y = self.norm(x, of["attention_norm"][layer])
            q, k, v = (self.by_head(y @ of[name][layer].T) for name in ("wq", "wk", "wv"))
            q, k = self.rotated(q), self.rotated(k)
            out, stats = heed.attend(q, k, v, stats=True, normalizer=normalizer, causal="bottom-right")
            looked.append((q, k, stats))
            x = x + out[0].transpose(1, 0, 2).reshape(len(tokens), -1) @ of["wo"][layer].T
            y = self.norm(x, of["ffn_norm"][layer])
            gate = y @ of["w1"][layer].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ of["w3"][layer].T)) @ of["w2"][layer].T
        return self.norm(x, of["final_norm"]) @ of["embedding"].T, looked

    def by_head(self, rows):
        """[tokens, heads x channels] as [1, heads, tokens, channels], in place."""
        return rows.reshape(1, len(rows), -1, self.head).transpose(0, 2, 1, 3)

    @staticmethod
    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight

    @staticmethod
    def rotated(x):
        """Rotary positions: neighbouring channels are turned together."""
        tokens, dim = x.shape[2:]
        angle = np.arange(tokens)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        result = np.empty(x.shape, np.float32)
        result[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        result[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return result


def shown(byte: int) -> str:
    return "·" if byte == 32 else "↵" if byte == 10 else chr(byte) if 32 < byte < 127 else "□"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--text", help="what they read; the beginning of the held-out text unless it is given")
    arguments.add_argument("--tokens", type=int, default=24, help="how many tokens are shown (24)")
    arguments.add_argument("--out", type=Path, default=Path("attention_maps.png"),
                           help="of any type that matplotlib writes")
    given = arguments.parse_args()
    text = given.text.encode() if given.text else (BOX / "held_out.txt").read_bytes()[:255]
    tokens = np.array([1] + [byte + 3 for byte in text[:255]])  # 1 begins a text
    count = min(given.tokens, len(tokens))
    if count < 2:
        raise SystemExit("attention_maps: at least two tokens")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm

    names = ("softmax", "softpick")
    models = {name: Model(BOX / f"{name}.bin") for name in names}
    layers = models["softmax"].layers
    figure, axes = pyplot.subplots(layers, 2, figsize=(8.2, 3.9 * layers + 0.9), layout="constrained")
    figure.suptitle("What two language models attend to", fontsize=13)
    labels = ["<s>"] + [shown(byte) for byte in text[:count - 1]]
    colours = pyplot.get_cmap("viridis_r").copy()
    colours.set_bad("white")
    image = None
    for column, name in enumerate(names):
        logits, looked = models[name].run(tokens, name)
        top = logits[:-1] - logits[:-1].max(-1, keepdims=True)
        loss = (np.log(np.exp(top).sum(-1)) - top[np.arange(len(top)), tokens[1:]]).mean()
        zeros = attended = 0
        for layer, (q, k, stats) in enumerate(looked):
            words = dict(normalizer=name, causal="bottom-right")
            seen = heed.observe(q, k, stats, wants=("first_token", "zeros", "attended"), **words)
            zeros, attended = zeros + seen["zeros"].sum(), attended + seen["attended"].sum()
            head = int(seen["first_token"].mean((0, 2)).argmax())
            weights = heed.attention_map(q, k, stats, head=head, rows=count, **words)[:, :count]
            axis = axes[layer, column]
            image = axis.imshow(np.ma.masked_equal(weights, 0).clip(1e-3, 1), norm=LogNorm(1e-3, 1), cmap=colours)
            axis.set_title(f"{name}, layer {layer}, head {head}", fontsize=9)
            axis.set_xticks(range(count), [""] + labels[1:], fontsize=6)
            axis.set_yticks(range(count), labels, fontsize=6)
            axis.tick_params(length=0)
            for spine in axis.spines.values():
                spine.set_color("#b4b4b4")
        print(f"{name:8}  loss {loss:.4f} nats a token, {zeros / attended:6.2%} of the weights exactly 0")
    bar = figure.colorbar(image, ax=axes, location="top", shrink=0.5, aspect=40)
    bar.set_label("weight; white: exactly 0. Rows are queries, columns keys;\n"
                  "of each layer the head that attends to the first token most", fontsize=8)
    bar.set_ticks([1e-3, 1e-2, 1e-1, 1], labels=["at most 0.001", "0.01", "0.1", "1"])
    bar.ax.tick_params(labelsize=7)
    figure.savefig(given.out, dpi=120)
    print(f"{given.out}: {heed.isa()}")


if __name__ == "__main__":
    main()
