// SPDX-License-Identifier: MIT
// The page: controls, the two cards, and a loop that lets the twins write.
const openings = ["And it came to pass", "In the beginning", "Blessed are they that", "And the king said unto",
  "Q: What is attention?"];
const pace = 36;       // tokens a second that each twin shows while it writes by itself
const frame_ms = 24;   // of computing in a frame, where settings have changed and the text is wanted at once

function start(engine) {
  const state = { seed: 1, pointed: null, kept: null, chosen: null, quick: false, due: 0, drawn: true, awake: false };
  const wake = () => {
    if (!state.awake) requestAnimationFrame(loop);
    state.awake = true;
  };
  const redraw = () => {
    state.drawn = false;
    wake();
  };
  const cards = engine.twins.map((_, i) => new card(engine, i, () => changed()));
  $("twins").append(...cards.map((c) => c.root));
  const take_colours = () => {
    cards.forEach((c) => { c.colours = new palette(c.root); c.forget_rows(); });
    redraw();
  };
  take_colours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", take_colours);

  const temperature = () => Number($("temperature").value);
  const scale = () => 2 ** Number($("scale").value);
  const say_settings = () => {
    $("temperature-says").textContent = temperature() === 0 ? "0, always the likeliest" : temperature().toFixed(2);
    $("scale-says").textContent = `× ${scale().toFixed(2)}`;
    $("temperature").disabled = $("keep").checked;  // no token is drawn
    $("again").disabled = $("keep").checked || temperature() === 0;
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
    redraw();
  };
  const changed = () => {
    say_settings();
    if (!$("keep").checked) write(true);
    else attempt(() => cards.forEach((c) => c.read_again(scale())));
    redraw();
  };

  const write_more = (now) => {
    const writing = () => cards.filter((c) => !c.ended);
    if (!writing().length) return;
    const each = () => writing().forEach((c) => c.write(temperature()));
    const fine = attempt(() => {
      if (state.quick) {
        for (const stop = performance.now() + frame_ms; writing().length && performance.now() < stop;) each();
      } else {
        if (now - state.due > 500) state.due = now;  // the page was hidden
        for (; writing().length && state.due <= now; state.due += 1000 / pace) each();
      }
    });
    if (!fine) cards.forEach((c) => { c.ended = true; });
    redraw();
  };
  function loop(now) {
    state.awake = false;
    write_more(now);
    if (!state.drawn) {
      state.drawn = true;
      const current = state.pointed ?? state.kept;
      cards.forEach((c) => c.draw(current ?? Infinity, current !== null, state.chosen));
    }
    if (cards.some((c) => !c.ended)) wake();
  }

  const point = (token) => {
    if (state.pointed === token) return;
    state.pointed = token;
    redraw();
  };
  const keep = (token) => {
    state.kept = token;
    redraw();
  };
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
      state.pointed = null;  // where the mouse was left
      keep(Math.max(0, Math.min(last, from + step)));
      $("spoken").textContent = "";
      requestAnimationFrame(() => { $("spoken").textContent = c.says.textContent; });
    });
    c.grid.addEventListener("click", (e) => {
      const button = e.target.closest(".head");
      if (!button) return;
      const layer = Number(button.dataset.layer), head = Number(button.dataset.head);
      state.chosen = state.chosen?.layer === layer && state.chosen.head === head ? null : { layer, head };
      redraw();
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
    if (e.key !== "Escape") return;
    state.kept = state.pointed = state.chosen = null;
    redraw();
  });

  $("controls").addEventListener("submit", (e) => { e.preventDefault(); write(false); });
  $("temperature").addEventListener("input", () => { say_settings(); if (!$("keep").checked) write(true); });
  $("scale").addEventListener("input", changed);
  $("keep").addEventListener("change", say_settings);
  $("again").addEventListener("click", () => { ++state.seed; write(false); });
  $("reset").addEventListener("click", () => {
    $("scale").value = "0", $("temperature").value = "0.7", $("keep").checked = false;
    state.seed = 1, state.chosen = null;
    cards.forEach((c) => { c.select.value = String(c.own); c.say_formula(); });
    changed();
  });
  for (const opening of openings) {
    const button = made("button", { type: "button" }, opening);
    button.addEventListener("click", () => { $("prompt").value = opening; write(false); });
    $("openings").append(button);
  }
  addEventListener("resize", redraw);

  say_facts(engine);
  write(false);
}

/// What the models' sidecars say of them.
function say_facts(engine) {
  const option = (twin, name) => engine.fact(twin, "options").match(new RegExp(`--${name} (\\S+)`))?.[1] ?? "?";
  const losses = (twin) => engine.fact(twin, "curve").split(" ").slice(1).map((x) => Number(x).toFixed(3));
  const number = (x) => Number(x).toLocaleString("en");
  const rows = [
    ["what it is", () => `a Llama-style transformer of ${number(engine.parameters)} parameters: ` +
      `${engine.layers} layers, ${engine.heads} heads of ${engine.channels} channels, ` +
      `bytes as tokens, ${engine.context} of them at a time`],
    ["trained on", () => "the King James Bible (public domain), every 16th block of 64 KiB held out"],
    ["for", (t) => `${number(option(t, "steps"))} steps, ${number(engine.fact(t, "tokens"))} bytes in all, ` +
      `seed ${option(t, "seed")}`],
    ["loss at the end", (t) => `${losses(t)[0]} in training, ${losses(t)[1]} on held-out text (nats a byte)`],
  ];
  $("facts").append(
    made("thead", {}, made("tr", {}, made("td"),
      ...engine.twins.map((t) => made("th", { scope: "col" }, `${t} twin`)))),
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
      ? "This browser cannot run heed.wasm: it wants WebAssembly with 128-bit SIMD and exceptions " +
        `(Chrome 97, Firefox 102, Safari 16.4 or newer). ${error.message}`
      : `The page did not start: ${error.message}`;
    $("alert").hidden = false;
  });
