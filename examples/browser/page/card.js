// SPDX-License-Identifier: MIT
// A twin's card: what it wrote, its heads, and what is said of both.
const $ = (id) => document.getElementById(id);
const made = (tag, attributes = {}, ...children) => {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in e && typeof value !== "string") e[name] = value;
    else e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
};
/// Changes a text where it is another: what is set is laid out again.
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
/// A share as a percentage that is 0 or 100 only where it is exactly that.
const percent = (x) => {
  if (x === 0 || x === 1) return `${100 * x}%`;
  const p = 100 * x;
  if (p < 0.1) return "<0.1%";
  if (p > 99.9) return ">99.9%";
  return `${p < 10 || p > 99 ? p.toFixed(1) : p.toFixed(0)}%`;
};
class card {
  constructor(engine, index, change) {
    this.engine = engine, this.index = index, this.name = engine.twins[index];
    this.own = engine.normalizers.findIndex((n) => n.name === this.name);
    const id = (part) => `${this.name}-${part}`;

    this.select = made("select", { id: id("normalizer") }, ...engine.normalizers.map((n, i) =>
      made("option", { value: String(i) }, i === this.own ? `${n.name} (its own)` : n.name)));
    this.select.value = String(this.own);
    this.select.addEventListener("change", () => { this.say_formula(); change(); });
    this.formula = made("p", { class: "formula" });
    this.figures = {};
    const figure = (key, title, explained, kind = "") => made("div", { class: kind },
      made("dt", { title: explained }, title), this.figures[key] = made("dd", { id: id(key) }, "–"));
    this.text = made("div", {
      class: "text", id: id("text"), role: "listbox", tabindex: "0",
      "aria-label": `What the ${this.name} twin read and wrote, token by token`,
    });
    this.says = made("p", { class: "here-says", id: id("here") });
    this.heads = [];
    this.grid = made("div", { class: "heads", role: "group", "aria-label": `Heads of the ${this.name} twin` });
    for (let layer = 0; layer < engine.layers; ++layer)
      for (let head = 0; head < engine.heads; ++head) this.grid.append(this.made_head(layer, head));
    this.root = made("article", { class: `twin ${this.name}`, "aria-labelledby": id("title") },
      made("div", { class: "top" }, made("h2", { id: id("title") }, `${this.name} twin`),
        made("label", { for: id("normalizer") }, "attends with ", this.select)),
      this.formula,
      made("dl", { class: "figures" },
        figure("sink", "sink", "weight of the first token"),
        figure("entropy", "entropy, nats", "how widely a row spreads"),
        figure("zeros", "zeros", "share of tokens whose weight is exactly 0"),
        figure("speed", "tokens/s", "that this twin can write here, its heads being looked into", "lesser")),
      this.text, this.says, this.grid);
    this.say_formula();
    this.spans = [], this.marked = null;
    this.forget();
  }

  made_head(layer, head) {
    const name = `layer ${layer + 1}, head ${head + 1}`;
    const row = made("canvas", { class: "row" }), map = made("canvas", { class: "map" });
    const numbers = ["sink", "entropy", "zeros"].map((key) => made("b", { "data-key": key }, "–"));
    const button = made("button", {
      class: "head", type: "button", "aria-pressed": "false", "data-layer": String(layer), "data-head": String(head),
      tabindex: layer + head ? "-1" : "0", title: `Shade the texts by ${name}`,
    }, made("span", { class: "name", "aria-label": name }, `${layer + 1}·${head + 1}`), row, map,
      made("span", { class: "numbers" }, made("i", {}, "sink"), numbers[0], made("i", {}, "nats"), numbers[1],
        made("i", {}, "zeros"), numbers[2]));
    this.heads.push({ layer, head, button, numbers, picture: new head_picture(row, map, this.engine.context) });
    return button;
  }

  normalizer() { return Number(this.select.value); }
  say_formula() {
    const n = this.engine.normalizers[this.normalizer()];
    this.formula.replaceChildren(`p = ${n.formula}`);
    if (this.normalizer() !== this.own) this.formula.append(made("em", {}, `  · not what it was trained with`));
  }

  forget() {
    this.shown = 0, this.written = 0, this.spent = 0, this.ended = false;
    this.mark(null);
    this.spans = [], this.shades = [];
    this.text.replaceChildren();
    this.forget_rows();
  }
  forget_rows() { for (const h of this.heads) h.picture.forget(); }

  /// Reads a prompt, or once more what is there.
  read(scale, seed, prompt) {
    this.engine.read(this.index, this.normalizer(), scale, seed, prompt);
    this.forget();
    this.given = this.engine.tokens(this.index);
    this.show_tokens();
  }
  read_again(scale) {
    this.forget_rows();
    this.engine.read_again(this.index, this.normalizer(), scale);
  }

  /// Writes a token, if the text goes on.
  write(temperature) {
    const begin = performance.now(), before = this.shown;
    this.engine.write(this.index, temperature);
    this.spent += performance.now() - begin;
    this.show_tokens();
    this.ended = this.shown === before;
    if (!this.ended) ++this.written;
  }

  show_tokens() {
    const { engine, index } = this;
    for (const n = engine.tokens(index); this.shown < n; ++this.shown) {
      const bytes = engine.pieces[engine.id(index, this.shown)], byte = bytes[0];
      const span = made("span", {
        role: "option", id: `${this.name}-${this.shown}`, "data-token": String(this.shown), "aria-selected": "false",
      });
      if (bytes.length > 1) span.append(this.shown ? new TextDecoder().decode(bytes) : "‹s›");
      else if (byte === 10) span.append("⏎\n");
      else if (byte >= 32 && byte < 127) span.append(String.fromCharCode(byte));
      else span.append(`‹${byte.toString(16).padStart(2, "0")}›`);
      const kind = this.shown === 0 ? "first" : byte === 10 ? "break" : byte < 32 || byte > 126 ? "byte" : "";
      span.className = `${kind} ${this.shown < this.given ? "given" : ""}`.trim();
      this.spans.push(span);
      this.text.append(span);
    }
  }

  /// The weights of a token's row: of a head, or the mean of all.
  row(token, chosen) {
    const { engine, index } = this, context = engine.context, mean = new Float32Array(token + 1);
    const heads = this.heads.filter((h) => !chosen || (h.layer === chosen.layer && h.head === chosen.head));
    for (const h of heads) {
      const weights = engine.weights(index, h.layer, h.head);
      for (let j = 0; j <= token; ++j) mean[j] += weights[token * context + j] / heads.length;
    }
    return mean;
  }

  /// Marks a token as the one that is pointed at, or none.
  mark(token) {
    if (token === this.marked) return;
    for (const [which, on] of [[this.marked, false], [token, true]]) {
      this.spans[which]?.classList.toggle("here", on);
      this.spans[which]?.setAttribute("aria-selected", String(on));
    }
    this.marked = token;
    if (token === null) this.text.removeAttribute("aria-activedescendant");
    else this.text.setAttribute("aria-activedescendant", `${this.name}-${token}`);
  }

  /// Shows the row of a token, and numbers of it, or of all rows where `pointed` is false.
  draw(current, pointed, chosen) {
    const { engine, index } = this, tokens = this.shown;
    if (!tokens) return;
    const here = Math.min(current, tokens - 1);
    const weights = this.row(here, chosen);
    this.spans.forEach((span, j) => {
      const s = j <= here ? shade(weights[j]) : 0;
      const colour = s ? css(this.colours.hue, (this.colours.text_shade * s).toFixed(4)) : "";
      if (this.shades[j] !== colour) this.shades[j] = span.style.backgroundColor = colour;
    });
    this.mark(pointed ? here : null);
    this.text.classList.toggle("writing", !this.ended);

    // all pictures first: they ask for their sizes, and what is written between would be laid out for each
    for (const h of this.heads) h.picture.draw(engine.weights(index, h.layer, h.head), tokens, here, this.colours);
    const sums = [0, 0, 0];
    for (const h of this.heads) {
      const values = [engine.first_token, engine.entropy, engine.zeros].map((of) => {
        const rows = of(index, h.layer, h.head);
        return pointed || tokens < 2 ? rows[here] : rows.subarray(1, tokens).reduce((a, b) => a + b) / (tokens - 1);
      });
      values.forEach((v, i) => { sums[i] += v; });
      h.numbers.forEach((b, i) => put(b, i === 1 ? values[i].toFixed(2) : percent(values[i])));
      h.button.setAttribute("aria-pressed", String(!!chosen && h.layer === chosen.layer && h.head === chosen.head));
    }
    const n = this.heads.length;
    put(this.figures.sink, percent(sums[0] / n));
    put(this.figures.entropy, (sums[1] / n).toFixed(2));
    put(this.figures.zeros, percent(sums[2] / n));
    if (this.written > 8) put(this.figures.speed, Math.round(1000 * this.written / this.spent).toLocaleString("en"));
    this.say_here(here, pointed, chosen, weights);
  }

  say_here(here, pointed, chosen, weights) {
    const shaded = (token) => `Shaded: what ` +
      (chosen ? `layer ${chosen.layer + 1}, head ${chosen.head + 1} takes in for ${token}`
        : `all heads take in for ${token}, on average`);
    if (!pointed) {
      this.says.replaceChildren(`Numbers are means over ${this.shown} tokens. ${shaded("the last one")}.`);
      return;
    }
    const value = (text, key, title = text) => made("b", { "data-key": key, title }, text);
    const piece = this.spans[here].textContent.trim() || "space";
    this.says.replaceChildren("Token ", value(String(here), "token"), ", ", value(piece, "piece"));
    if (here > 0) {
      const lead = this.engine.lead(this.index, here - 1);
      this.says.append(": the model gave it ", value(percent(this.engine.probability(this.index, here)), "probability"),
        "; its two best guesses were ", value(lead.toPrecision(3), "lead", String(lead)), " apart (logits)");
    }
    const zeros = weights.reduce((n, w) => n + (w === 0), 0);
    this.says.append(`. ${shaded("it")}; `, value(String(zeros), "none"),
      ` of ${here + 1} tokens not at all.`);
  }
}
