// SPDX-License-Identifier: MIT
// heed.wasm: its functions under plain names, texts as strings and numbers as typed arrays that look into its memory.
async function load_engine(bytes) {
  const decoder = new TextDecoder(), encoder = new TextEncoder();
  let wasm;
  // The C++ library's files and clock, of which nothing is used: every call is refused.
  const refused = 52;
  const imports = {};
  const module = await WebAssembly.compile(bytes);
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== "function") throw new Error(`heed.wasm asks for ${from}.${name}, which this page has not`);
    (imports[from] ??= {})[name] = () => refused;
  }
  wasm = (await WebAssembly.instantiate(module, imports)).exports;
  wasm._initialize();

  const text = (at) => {
    const memory = new Uint8Array(wasm.memory.buffer);
    return decoder.decode(memory.subarray(at, memory.indexOf(0, at)));
  };
  const bytes_of = (at) => {
    const memory = new Uint8Array(wasm.memory.buffer);
    return memory.slice(at, memory.indexOf(0, at));
  };
  const floats = (at, n) => new Float32Array(wasm.memory.buffer, at, n);
  const done = (at) => {
    const wrong = text(at);
    if (wrong) throw new Error(wrong);
  };
  const listed = (n, f) => Array.from({ length: n }, (_, i) => f(i));

  done(wasm.page_open());
  const context = wasm.page_context();
  return {
    isa: text(wasm.page_isa()),
    layers: wasm.page_layers(), heads: wasm.page_heads(), channels: wasm.page_channels(), context,
    vocabulary: wasm.page_vocabulary(), parameters: wasm.page_parameters(),
    twins: listed(wasm.page_twins(), (i) => text(wasm.page_twin_name(i))),
    normalizers: listed(wasm.page_normalizers(), (i) =>
      ({ name: text(wasm.page_normalizer_name(i)), formula: text(wasm.page_normalizer_formula(i)) })),
    pieces: listed(wasm.page_vocabulary(), (id) => bytes_of(wasm.page_piece(id))),
    fact: (twin, key) => {
      const name = encoder.encode(key);
      const at = wasm.page_text(name.length);
      new Uint8Array(wasm.memory.buffer).set(name, at);
      return text(wasm.page_fact(twin, at));
    },

    read(twin, normalizer, scale, seed, prompt) {
      const written = encoder.encode(prompt);
      new Uint8Array(wasm.memory.buffer).set(written, wasm.page_text(written.length));
      done(wasm.page_read(twin, normalizer, scale, seed));
    },
    read_again(twin, normalizer, scale) { done(wasm.page_read_again(twin, normalizer, scale)); },
    write(twin, temperature) { done(wasm.page_write(twin, temperature)); },

    tokens: (twin) => wasm.page_tokens(twin),
    id: (twin, token) => new Int32Array(wasm.memory.buffer, wasm.page_ids(twin), wasm.page_tokens(twin))[token],
    probability: (twin, token) => wasm.page_probability(twin, token),
    lead: (twin, token) => wasm.page_lead(twin, token),
    weights: (twin, layer, head) => floats(wasm.page_weights(twin, layer, head), context * context),
    first_token: (twin, layer, head) => floats(wasm.page_first_token(twin, layer, head), context),
    entropy: (twin, layer, head) => floats(wasm.page_entropy(twin, layer, head), context),
    zeros: (twin, layer, head) => floats(wasm.page_zeros(twin, layer, head), context),
  };
}
