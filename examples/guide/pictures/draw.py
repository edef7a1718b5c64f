#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the pictures of the guide: `draw.py FOLDER` writes them there. Their colours follow the reader's, light or dark."""
import html
import pathlib
import sys

STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12.5px }
  .small { font-size: 12px; fill: #59636e } .head { font-weight: 600 } .mid { text-anchor: middle } .end { text-anchor: end }
  .box { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1 } .user { fill: #ddf4ff; stroke: #54aeff }
  .warm { fill: #fff1e5; stroke: #e16f24 } .none { fill: none; stroke: #8c959f } .hot { fill: #ffb77c; stroke: #e16f24 }
  .blank { fill: #ffffff; stroke: #8c959f; stroke-dasharray: 3 3 }
  .line { fill: none; stroke: #59636e; stroke-width: 1.4 } .tip { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .box { fill: #151b23; stroke: #656c76 } .user { fill: #0c2d6b; stroke: #388bfd } .warm { fill: #3d1300; stroke: #db6d28 }
    .none { stroke: #656c76 } .hot { fill: #762d0a; stroke: #db6d28 } .blank { fill: #0d1117; stroke: #656c76 }
    .line { stroke: #9198a1 } .tip { fill: #9198a1 }
  }"""


class Picture:
    def __init__(self, width, height, title):
        self.size = (width, height)
        self.parts = [f"<title>{html.escape(title)}</title>"]

    def box(self, x, y, w, h, kind="box", radius=5):
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}"/>')

    def text(self, x, y, words, kind=""):
        self.parts.append(f'<text class="{kind}" x="{x}" y="{y}">{html.escape(words)}</text>')

    def arrow(self, *points):
        (x0, y0), (x1, y1) = points[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        back = (x1 - 8 * dx, y1 - 8 * dy)
        path = " ".join(f"{x:g},{y:g}" for x, y in [*points[:-1], back])
        tip = [(x1, y1), (back[0] - 4 * dy, back[1] + 4 * dx), (back[0] + 4 * dy, back[1] - 4 * dx)]
        self.parts.append(f'<polyline class="line" points="{path}"/>')
        self.parts.append('<polygon class="tip" points="{}"/>'.format(" ".join(f"{x:g},{y:g}" for x, y in tip)))

    def write(self, file):
        w, h = self.size
        body = "\n  ".join(self.parts)
        file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">\n'
                        f"  <style>{STYLE}\n  </style>\n  {body}\n</svg>\n")


def architecture():
    p = Picture(900, 520, "What a call passes through, from the verbs down to the machine")
    p.text(450, 22, "your program", "head mid")
    p.box(20, 34, 270, 70, "user")
    p.text(155, 58, "policies, in a definition", "mid")
    p.text(155, 82, "softpick{}, causal{}, softcap{50}", "code mid")
    p.box(315, 34, 270, 70, "user")
    p.text(450, 58, "tensors and caches, as views", "mid")
    p.text(450, 82, "bhsd(q, ...), paged_kv{...}", "code mid")
    p.box(610, 34, 270, 70, "user")
    p.text(745, 58, "memory and threads", "mid")
    p.text(745, 82, "workspace, executor, stats", "code mid")

    layers = [
        ("verbs", "attend, plan, backward, observe, append, state", "checked before anything is written"),
        ("passes", "engine/forward, backward, observe", "one per verb, none per storage or policy"),
        ("kernel", "engine/kernel", "tasks, key tiles, what a mask covers, {M, l, o}"),
        ("micro", "engine/micro", "register blocks: scores, outputs, transposes, prefetch"),
        ("simd", "engine/simd", "registers, exp, log, loads of every element"),
    ]
    y = 140
    for name, code, what in layers:
        p.box(315, y, 565, 52)
        p.text(331, y + 22, name, "head")
        p.text(400, y + 22, code, "code")
        p.text(400, y + 42, what, "small")
        y += 64
    p.box(315, y, 565, 44, "warm")
    p.text(597, y + 27, "AVX-512 \u00b7 AVX2 \u00b7 SSE \u00b7 NEON \u00b7 WebAssembly \u00b7 plain C++", "mid")
    for x in (450, 745):
        p.arrow((x, 104), (x, 138))
    for i in range(5):
        p.arrow((340, 192 + 64 * i), (340, 202 + 64 * i))

    p.box(20, 140, 270, 244, "user")
    p.text(36, 162, "rooms of policies", "head")
    rooms = [("normalizer/", "score to weight and mass"), ("score/", "maps of scores"), ("mask/", "who attends whom"),
             ("kv/", "where rows lie"), ("base/element/", "how numbers are stored")]
    for i, (room, what) in enumerate(rooms):
        p.text(36, 192 + 36 * i, room, "code")
        p.text(36, 208 + 36 * i, what, "small")
    p.arrow((155, 104), (155, 138))
    p.text(36, 410, "compiled into the passes: they know", "small")
    p.text(36, 426, "contracts, no policy; policies know no pass", "small")
    p.arrow((290, 236), (313, 236))
    return p


def tile_step():
    p = Picture(900, 400, "One tile step: scores, weights, outputs, fold")
    # K, above the scores
    p.box(230, 40, 300, 60)
    p.text(404, 66, "K of a key tile", "mid")
    p.text(404, 86, "512 keys, D channels", "small mid")
    p.box(246, 40, 36, 60, "warm")
    p.text(264, 30, "strip", "small mid")
    # Q, left of the scores
    p.box(60, 140, 90, 130)
    p.text(105, 200, "Q", "mid")
    p.text(105, 220, "block", "small mid")
    p.box(60, 160, 90, 22, "warm")
    p.text(52, 175, "register", "small end")
    p.text(52, 189, "block", "small end")
    # S to P
    p.box(230, 140, 300, 130)
    p.text(380, 200, "S = maps(scale Q K", "mid")
    p.parts[-1] = p.parts[-1].replace("K</text>", "K<tspan dy='-5' font-size='10'>T</tspan><tspan dy='5'>)</tspan></text>")
    p.text(380, 222, "then P, in place", "small mid")
    p.box(246, 160, 36, 22, "hot")
    p.arrow((150, 171), (244, 171))
    p.arrow((264, 100), (264, 158))
    p.box(230, 286, 300, 52, "user")
    p.text(380, 308, "mask bits, M, and your terms(s)", "mid")
    p.text(380, 328, "weight w 2^-M, mass u 2^-M", "code mid")
    p.arrow((330, 286), (330, 272))
    p.arrow((430, 270), (430, 284))
    # V, then O
    p.box(580, 40, 110, 60)
    p.text(635, 66, "V of the tile", "mid")
    p.text(635, 86, "512 x Dv", "small mid")
    p.box(580, 140, 110, 130)
    p.text(635, 200, "O = P V", "mid")
    p.text(635, 222, "of the tile", "small mid")
    p.arrow((530, 205), (578, 205))
    p.arrow((635, 100), (635, 138))
    # fold
    p.box(750, 140, 130, 130, "warm")
    p.text(815, 186, "fold", "head mid")
    p.text(815, 210, "{M, l, o}", "code mid")
    p.text(815, 232, "of the row, by 2^n", "small mid")
    p.arrow((690, 205), (748, 205))
    p.arrow((530, 312), (815, 312), (815, 272))
    p.text(672, 304, "sums of u", "small mid")
    p.text(450, 376, "next tile: 512 keys on, counted from the sequence's first token. After the last one o is divided by c + l.",
           "small mid")
    return p


def layouts():
    p = Picture(900, 430, "Where the rows of a sequence lie")
    cell, gap = 26, 4

    def row(x, y, labels, kinds=None):
        for i, label in enumerate(labels):
            p.box(x + i * cell, y, cell, cell, kinds[i] if kinds else "box", 2)
            p.text(x + i * cell + cell // 2, y + 18, label, "mid")

    def of(tokens, kind):
        return [kind if t.strip(".") else "blank" for t in tokens]

    p.text(20, 28, "bhsd  [head][token]", "head")
    row(20, 40, ["0", "1", "2", "3"] * 2, ["user"] * 4 + ["warm"] * 4)
    p.text(20, 86, "head 0, then head 1: a token is D apart from the next", "small")
    p.text(470, 28, "bshd  [token][head]", "head")
    row(470, 40, ["0", "0", "1", "1", "2", "2", "3", "3"], ["user", "warm"] * 4)
    p.text(470, 86, "a token is heads x D apart from the next", "small")

    p.text(20, 128, "dense_kv, lengths 5, 3", "head")
    for i, tokens in enumerate((["0", "1", "2", "3", "4", ".", ".", "."], ["0", "1", "2", ".", ".", ".", ".", "."])):
        row(20, 140 + i * (cell + gap), tokens, of(tokens, ("user", "warm")[i]))
    p.text(470, 128, "left_padded_kv, starts 3, 5", "head")
    for i, tokens in enumerate(([".", ".", ".", "0", "1", "2", "3", "4"], [".", ".", ".", ".", ".", "0", "1", "2"])):
        row(470, 140 + i * (cell + gap), tokens, of(tokens, ("user", "warm")[i]))

    p.text(20, 238, "packed_kv, cu_seqlens 0, 5, 8", "head")
    row(20, 250, ["0", "1", "2", "3", "4", "0", "1", "2"], ["user"] * 5 + ["warm"] * 3)
    p.text(470, 238, "paged_kv, pages of 2, tables {4, 0, 2} and {1, 3}", "head")
    pool = [("2", "3", "user"), ("0", "1", "warm"), ("4", ".", "user"), ("2", ".", "warm"), ("0", "1", "user")]
    for i, (a, b, kind) in enumerate(pool):
        row(470 + i * (2 * cell + 12), 250, [a, b], of([a, b], kind))
        p.text(470 + i * (2 * cell + 12) + cell, 292, f"page {i}", "small mid")

    p.text(20, 338, "ring_kv, 8 slots, length 11", "head")
    row(20, 350, ["8", "9", "10", "3", "4", "5", "6", "7"], ["hot"] * 3 + ["user"] * 5)
    p.text(20, 398, "token t in slot t mod 8; tokens 0 to 2 are gone", "small")
    p.text(470, 338, "pinned_ring_kv, 8 slots, 2 pinned, length 11", "head")
    row(470, 350, ["0", "1", "8", "9", "10", "5", "6", "7"], ["warm"] * 2 + ["hot"] * 3 + ["user"] * 3)
    p.text(470, 398, "0 and 1 stay; token t > 1 in slot 2 + (t - 2) mod 6", "small")
    return p


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: draw.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    for draw in (architecture, tile_step, layouts):
        draw().write(folder / f"{draw.__name__}.svg")
