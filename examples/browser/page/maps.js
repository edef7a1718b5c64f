// SPDX-License-Identifier: MIT
// Pictures of a head: a map of all its rows, and one row as a line of bars. A weight of exactly 0 is drawn as nothing,
// and any other is at least faintly there.
const shade = (weight) => (weight === 0 ? 0 : 0.1 + 0.9 * Math.sqrt(Math.min(weight, 1)));

/// The colours of a card, read from its style, as they are in light or dark.
class palette {
  constructor(card) {
    const style = getComputedStyle(card);
    const colour = (name) => {
      const digits = style.getPropertyValue(name).trim().slice(1);
      return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16));
    };
    [this.paper, this.hue, this.deep, this.future, this.ink] =
      ["--paper", "--hue", "--deep", "--future", "--ink"].map(colour);
    this.text_shade = Number(style.getPropertyValue("--text-shade"));
    // 256 steps from paper to the twin's colour, and on to its deep one.
    this.steps = Array.from({ length: 256 }, (_, i) => {
      const s = i / 255, [from, to, part] =
        s < 0.72 ? [this.paper, this.hue, s / 0.72] : [this.hue, this.deep, (s - 0.72) / 0.28];
      return from.map((c, k) => Math.round(c + (to[k] - c) * part));
    });
  }
  of(weight) { return this.steps[Math.round(255 * shade(weight))]; }
}
const css = (colour, alpha = 1) => `rgb(${colour.join(" ")} / ${alpha})`;

class head_picture {
  /// Of two canvases; `context` is the most rows that there can be.
  constructor(row, map, context) {
    this.row = row, this.map = map, this.context = context, this.painted = 0;
    this.all = document.createElement("canvas");
    this.all.width = this.all.height = context;
  }

  forget() { this.painted = 0; }

  /// Draws `tokens` rows and marks one. Rows that have been painted since forget() are taken as they are.
  draw(weights, tokens, marked, colours) {
    if (this.painted < tokens) {
      const rows = tokens - this.painted, image = new ImageData(this.context, rows), data = image.data;
      for (let i = 0, at = 0; i < rows; ++i)
        for (let j = 0; j < this.context; ++j, at += 4) {
          const row = this.painted + i;
          data.set(j <= row ? colours.of(weights[row * this.context + j]) : colours.future, at);
          data[at + 3] = 255;
        }
      this.all.getContext("2d").putImageData(image, 0, this.painted);
      this.painted = tokens;
    }
    const map = sized(this.map), size = this.map.width, cell = size / tokens;
    map.imageSmoothingEnabled = cell < 1;
    map.drawImage(this.all, 0, 0, tokens, tokens, 0, 0, size, size);
    const line = Math.max(1, devicePixelRatio);
    if (marked + 1 < tokens) {
      map.fillStyle = css(colours.ink, 0.7);
      map.fillRect(0, (marked + 1) * cell, (marked + 1) * cell, line);
    }

    const row = sized(this.row), width = this.row.width, height = this.row.height;
    row.clearRect(0, 0, width, height);
    row.fillStyle = css(colours.future);
    row.fillRect((marked + 1) * width / tokens, 0, width, height);
    for (let j = 0; j <= marked; ++j) {
      const weight = weights[marked * this.context + j];
      if (weight === 0) continue;
      const high = Math.max(line, height * Math.sqrt(Math.min(weight, 1)));
      row.fillStyle = css(colours.of(Math.max(weight, 0.1)));
      row.fillRect(j * width / tokens, height - high, Math.max(line, width / tokens), high);
    }
  }
}

/// A canvas's context, with as many pixels as the screen has there.
function sized(canvas) {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio)),
    height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  if (canvas.width !== width || canvas.height !== height) canvas.width = width, canvas.height = height;
  return canvas.getContext("2d");
}
