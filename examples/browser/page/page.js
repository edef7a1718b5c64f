// The page: controls, the two cards, and a loop that lets the twins write.
const openings = ["And it came to pass", "In the beginning", "Blessed are they that", "And the king said unto", "Q: What is attention?"];
const pace = 36;       // tokens a second that each twin shows while it writes by itself
const frame_ms = 14;   // of computing in a frame, where settings have changed and the text is wanted at once

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
/// A share as a percentage that is 0 or 100 only where it is exactly that.
const percent = (x) => {
  if (x === 0 || x === 1) return `${100 * x}%`;
  const p = 100 * x;
  if (p < 0.1) return "<0.1%";
  if (p > 99.9) return ">99.9%";
  return `${p < 10 || p > 99 ? p.toFixed(1) : p.toFixed(0)}%`;
};
/// A twin's card: its text, its heads, and what is said of both.
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
    const figure = (key, title, explained, lesser) => made("div", lesser ? { class: "lesser" } : {}, made("dt", { title: explained }, title),
      this.figures[key] = made("dd", { id: id(key) }, "–"));
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
        figure("speed", "tokens/s", "that this twin can write here, looking into its heads included", true)),
      this.text, this.says, this.grid);
    this.say_formula();
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
    this.spans = [];
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
    this.show_tokens();
    this.ended = this.shown === before;
    this.spent += performance.now() - begin;
    if (!this.ended) ++this.written;
  }

  show_tokens() {
    const { engine, index } = this;
    for (const n = engine.tokens(index); this.shown < n; ++this.shown) {
      const bytes = engine.pieces[engine.id(index, this.shown)], byte = bytes[0];
      const span = made("span", { role: "option", id: `${this.name}-${this.shown}`, "data-token": String(this.shown) });
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

  /// Shows the row of a token, and numbers of it, or of all rows where `pointed` is false.
  draw(current, pointed, chosen) {
    const { engine, index } = this, tokens = this.shown;
    if (!tokens) return;
    const here = Math.min(current, tokens - 1);
    const weights = this.row(here, chosen);
    this.spans.forEach((span, j) => {
      const s = j <= here ? shade(weights[j]) : 0;
      span.style.backgroundColor = s ? css(this.colours.hue, 0.85 * s) : "";
      span.classList.toggle("here", j === here && pointed);
      span.setAttribute("aria-selected", String(j === here && pointed));
    });
    if (pointed) this.text.setAttribute("aria-activedescendant", `${this.name}-${here}`);
    else this.text.removeAttribute("aria-activedescendant");
    this.text.classList.toggle("writing", !this.ended);

    const sums = [0, 0, 0];
    for (const h of this.heads) {
      const values = [engine.first_token, engine.entropy, engine.zeros].map((of) => {
        const rows = of(index, h.layer, h.head);
        return pointed || tokens < 2 ? rows[here] : rows.subarray(1, tokens).reduce((a, b) => a + b) / (tokens - 1);
      });
      values.forEach((v, i) => { sums[i] += v; });
      h.numbers.forEach((b, i) => { b.textContent = i === 1 ? values[i].toFixed(2) : percent(values[i]); });
      h.picture.draw(engine.weights(index, h.layer, h.head), tokens, here, this.colours);
      h.button.setAttribute("aria-pressed", String(!!chosen && h.layer === chosen.layer && h.head === chosen.head));
    }
    const n = this.heads.length;
    this.figures.sink.textContent = percent(sums[0] / n);
    this.figures.entropy.textContent = (sums[1] / n).toFixed(2);
    this.figures.zeros.textContent = percent(sums[2] / n);
    if (this.written > 8) this.figures.speed.textContent = Math.round(1000 * this.written / this.spent).toLocaleString("en");
    this.say_here(here, pointed, chosen, weights);
  }

  say_here(here, pointed, chosen, weights) {
    const of = chosen ? `layer ${chosen.layer + 1}, head ${chosen.head + 1}` : "all heads on average";
    if (!pointed) {
      this.says.replaceChildren(`Numbers are means over ${this.shown} tokens. Shaded: what the last token takes in, ${of}.`);
      return;
    }
    const value = (text, key, title) => made("b", title ? { "data-key": key, title } : { "data-key": key }, text);
    this.says.replaceChildren("Token ", value(String(here), "token"), ", ", value(this.spans[here].textContent.trim() || "space", "piece"));
    const lead = here > 0 ? this.engine.lead(this.index, here - 1) : 0;
    if (here > 0)
      this.says.append(": ", value(percent(this.engine.probability(this.index, here)), "probability"),
        " likely to the model; its two best guesses were ", value(lead.toPrecision(3), "lead", String(lead)), " apart (logits)");
    const zeros = weights.reduce((n, w) => n + (w === 0), 0);
    this.says.append(`. Shaded: what it takes in, ${of}; `, value(String(zeros), "none"), ` of ${here + 1} tokens not at all.`);
  }
}

function start(engine) {
  const state = { seed: 1, pointed: null, kept: null, chosen: null, quick: false, due: 0, drawn: true };
  const cards = engine.twins.map((_, i) => new card(engine, i, () => changed()));
  $("twins").append(...cards.map((c) => c.root));
  const take_colours = () => cards.forEach((c) => { c.colours = new palette(c.root); c.forget_rows(); state.drawn = false; });
  take_colours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", take_colours);

  const temperature = () => Number($("temperature").value);
  const scale = () => 2 ** Number($("scale").value);
  const say_settings = () => {
    $("temperature-says").textContent = temperature() === 0 ? "0, always the likeliest" : temperature().toFixed(2);
    $("scale-says").textContent = `× ${scale().toFixed(2)}`;
    $("again").disabled = temperature() === 0 || $("keep").checked;
  };
  const attempt = (f) => {
    try {
      f();
      $("alert").hidden = true;
      return true;
    } catch (error) {
      $("alert").textContent = error.message;
      $("alert").hidden = false;
      return false;
    }
  };

  /// Begins again from the prompt, at a pace that can be read or at once.
  const write = (quick) => {
    say_settings();
    state.quick = quick || matchMedia("(prefers-reduced-motion: reduce)").matches;
    state.due = performance.now();
    if (!quick) state.kept = null;
    const begun = attempt(() => cards.forEach((c) => c.read(scale(), state.seed, $("prompt").value)));
    if (!begun) cards.forEach((c) => { c.ended = true; });
    state.drawn = false;
  };
  const changed = () => {
    say_settings();
    if (!$("keep").checked) write(true);
    else attempt(() => cards.forEach((c) => c.read_again(scale())));
    state.drawn = false;
  };

  const loop = (now) => {
    const writing = () => cards.filter((c) => !c.ended);
    if (writing().length && attempt(() => {
      if (state.quick) {
        for (const stop = performance.now() + frame_ms; writing().length && performance.now() < stop;)
          writing().forEach((c) => c.write(temperature()));
      } else {
        if (now - state.due > 500) state.due = now;  // the page was hidden
        for (; writing().length && state.due <= now; state.due += 1000 / pace) writing().forEach((c) => c.write(temperature()));
      }
    })) state.drawn = false;
    if (!state.drawn) {
      state.drawn = true;
      const current = state.pointed ?? state.kept;
      cards.forEach((c) => c.draw(current ?? Infinity, current !== null, state.chosen));
    }
    requestAnimationFrame(loop);
  };

  const point = (token) => { if (state.pointed !== token) state.pointed = token, state.drawn = false; };
  const keep = (token) => { state.kept = token, state.drawn = false; };
  for (const c of cards) {
    const token_at = (event) => event.target.dataset?.token;
    c.text.addEventListener("pointermove", (e) => {
      if (e.pointerType === "mouse") point(token_at(e) === undefined ? null : Number(token_at(e)));
    });
    c.text.addEventListener("pointerleave", () => point(null));
    c.text.addEventListener("click", (e) => {
      const token = token_at(e) === undefined ? null : Number(token_at(e));
      keep(token === state.kept ? null : token);
    });
    c.text.addEventListener("keydown", (e) => {
      const last = c.shown - 1, from = Math.min(state.kept ?? last + 1, last + 1);
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10, Home: -Infinity, End: Infinity }[e.key];
      if (step === undefined || e.ctrlKey || e.altKey || e.metaKey) return;
      e.preventDefault();
      keep(Math.max(0, Math.min(last, from + step)));
      $("spoken").textContent = "";
      requestAnimationFrame(() => { $("spoken").textContent = c.says.textContent; });
    });
    c.grid.addEventListener("click", (e) => {
      const button = e.target.closest(".head");
      if (!button) return;
      const layer = Number(button.dataset.layer), head = Number(button.dataset.head);
      state.chosen = state.chosen?.layer === layer && state.chosen.head === head ? null : { layer, head };
      state.drawn = false;
    });
    c.grid.addEventListener("keydown", (e) => {
      const buttons = c.heads.map((h) => h.button), at = buttons.indexOf(document.activeElement);
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -engine.heads, ArrowDown: engine.heads }[e.key];
      if (step === undefined || at < 0 || !buttons[at + step]) return;
      e.preventDefault();
      buttons[at].tabIndex = -1, buttons[at + step].tabIndex = 0;
      buttons[at + step].focus();
    });
  }
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") state.kept = state.pointed = state.chosen = null, state.drawn = false;
  });

  $("controls").addEventListener("submit", (e) => { e.preventDefault(); write(false); });
  $("temperature").addEventListener("input", () => { say_settings(); if (!$("keep").checked) write(true); });
  $("scale").addEventListener("input", changed);
  $("keep").addEventListener("change", say_settings);
  $("again").addEventListener("click", () => { ++state.seed; write(false); });
  $("reset").addEventListener("click", () => {
    $("scale").value = "0", $("temperature").value = "0.7", state.seed = 1, state.chosen = null;
    cards.forEach((c) => { c.select.value = String(c.own); c.say_formula(); });
    changed();
  });
  for (const opening of openings) {
    const button = made("button", { type: "button" }, opening);
    button.addEventListener("click", () => { $("prompt").value = opening; write(false); });
    $("openings").append(button);
  }
  addEventListener("resize", () => { state.drawn = false; });

  say_facts(engine);
  write(false);
  requestAnimationFrame(loop);
}

/// What the models' sidecars say of them.
function say_facts(engine) {
  const option = (twin, name) => engine.fact(twin, "options").match(new RegExp(`--${name} (\\S+)`))?.[1] ?? "?";
  const losses = (twin) => engine.fact(twin, "curve").split(" ").slice(1).map((x) => Number(x).toFixed(3));
  const number = (x) => Number(x).toLocaleString("en");
  const rows = [
    ["what it is", () => `a Llama-style transformer of ${number(engine.parameters)} parameters: ${engine.layers} layers, ${engine.heads} heads of ` +
      `${engine.channels} channels, bytes as tokens, ${engine.context} of them at a time`],
    ["trained on", () => "the King James Bible (public domain), every 16th block of 64 KiB held out"],
    ["for", (t) => `${number(option(t, "steps"))} steps, ${number(engine.fact(t, "tokens"))} bytes in all, seed ${option(t, "seed")}`],
    ["loss at the end", (t) => `${losses(t)[0]} in training, ${losses(t)[1]} on held-out text (nats a byte)`],
  ];
  $("facts").append(
    made("thead", {}, made("tr", {}, made("td"), ...engine.twins.map((t) => made("th", { scope: "col" }, `${t} twin`)))),
    made("tbody", {}, ...rows.map(([name, of]) => {
      const cells = engine.twins.map((_, t) => of(t));
      const alike = cells.every((c) => c === cells[0]);
      return made("tr", {}, made("th", { scope: "row" }, name),
        ...(alike ? [made("td", { colspan: String(cells.length) }, cells[0])] : cells.map((c) => made("td", {}, c))));
    })));
  $("made").replaceChildren("Computed here by heed, exact attention for CPUs, for the instruction set ",
    made("b", { id: "isa" }, engine.isa), " (128-bit vectors, one thread). What you type stays in this page.");
}

fetch("heed.wasm")
  .then((response) => {
    if (!response.ok) throw new Error(`heed.wasm: ${response.status} ${response.statusText}`);
    return response.arrayBuffer();
  })
  .then(load_engine)
  .then(start)
  .catch((error) => {
    $("alert").textContent = error instanceof WebAssembly.CompileError
      ? `This browser cannot run heed.wasm: it wants WebAssembly with 128-bit SIMD and exceptions (Chrome 97, Firefox 102, Safari 16.4 or newer). ${error.message}`
      : `The page did not start: ${error.message}`;
    $("alert").hidden = false;
  });
