// SPDX-License-Identifier: MIT
// The module: names, arguments and docstrings. heed/_heed.pyi has the same for type checkers.
#include "verbs.hpp"

#include <heed/base/version.hpp>

#include <pybind11/stl.h>

using namespace py::literals;

namespace {

constexpr const char* definition_doc = R"(What is computed, as keyword arguments of every verb, or as one value.

    p_ij = w(s_ij) / (c_i + sum_j u(s_ij))      o_i = sum_j p_ij v_j
    s_ij = softcap(scale q_i . k_j) + alibi + bias, of the keys j that row i attends

normalizer    'softmax' (w = u = e^s, c = 0) or 'softpick' (w = max(e^s - 1, 0), u = |e^s - 1|)
extra         softmax: c = extra, 'off by one' with 1
sinks         softmax: c = e^sink, a logit for each query head [Hq]
eps           softpick: c = eps, in units of e^s
scale         of q . k; None: 1 / sqrt(D)
softcap       s -> softcap tanh(s / softcap)
alibi         slopes [Hq]: s -> s + slope (key - query)
bias          [B, Hq, Sq, Skv], of the type that is computed in; leading extents may be 1 or missing; -inf leaves its
              key out
causal        'bottom-right': the last query stands at the last key, as with a cache; 'top-left': the first at the
              first, PyTorch's is_causal; n: row i attends keys up to i + n
window        (left, right): keys beside the query's position, None for no limit; a model's window of w is (w - 1, 0)
prefix        the first keys, which causal, window and documents do not leave out
documents     [n + 1] bounds from 0: a query attends the keys of its own document
mask          bool, as bias; True where a key is attended
query_offset  the position of query row 0, one for all sequences or [B]; None: keys - Sq

Arrays are not copied, except for lists of numbers (sinks, alibi, documents, query_offset): what is written to them
later is what later calls see.)";

constexpr const char* attend_doc =
    R"(attend(q, k, v=None, *, out=None, stats=False, lengths=None, threads=None,
       attention=None, **definition)

Exact attention. Query head h reads the keys and values of kv head h // (Hq // Hkv).

q          [B, Hq, Sq, D], float32, float64, float16 or bfloat16: anything with the buffer protocol (NumPy), DLPack
           (PyTorch) or __array_interface__, in the memory of the CPU. Any strides but that of the last dimension, whose
           numbers lie side by side: a tensor [B, S, H, D] goes in as q.transpose(0, 2, 1, 3). Nothing is copied
k, v       [B, Hkv, Skv, D] and [B, Hkv, Skv, Dv], of q's type; or a cache alone
out        [B, Hq, Sq, Dv] of q's type, to be written; it may be q. None: a new NumPy array; bfloat16, which NumPy
           lacks, needs one
stats      True: also heed.Stats, which backward, observe and attention_map take
lengths    [B] keys that each sequence has; what lies behind them is not read
threads    1 to 1024; None: as many as the process may use. No bit of the result depends on it
attention  a heed.Attention, in place of **definition: help(heed.Attention)

Returns out, or (out, Stats). A row that attends no key is 0. Other Python threads run meanwhile. ValueError, in
heed's words, for sizes, strides, types and values that do not fit, before anything is written.)";

constexpr const char* attend_partial_doc =
    R"(attend_partial(q, k, v=None, *, state=None, first_key=0, total_keys=None, tile_stride=1,
               lengths=None, threads=None, attention=None, **definition)

Attention to a part of the keys, as a heed.State, float32. Parts that begin at multiples of heed.KEY_TILE keys and are
folded in order into one state have the bits of one call of attend; parts that are merged differ from it by rounding.

state        a State that goes on with these keys, and is returned; None: a new one
first_key    the position of the part's first key
total_keys   keys of the whole sequence; None: the part is the last
tile_stride  n: k and v are every n-th tile of KEY_TILE keys from first_key on

The rest is as in attend.)";

constexpr const char* backward_doc =
    R"(backward(q, k, v, out, stats, dout, *, dlse=None, wants=('dq', 'dk', 'dv'),
         lengths=None, threads=None, attention=None, **definition)

Gradients of a loss, given those in out = attend(q, k, v, stats=True, ...), float32 or float64.

out, stats  what attend returned for the same arguments
dout        [B, Hq, Sq, Dv]: the loss's gradient in out
dlse        [B, Hq, Sq]: that in stats.lse; None: 0
wants       names among dq, dk, dv, dsinks [Hq], and dbias, of bias's own size, summed where that is repeated

Returns heed.Gradients: new NumPy arrays, None for what was not wanted. dk and dv are summed over the query heads of a
kv head. The rest is as in attend.)";

constexpr const char* observe_doc =
    R"(observe(q, k, stats, *, wants=('entropy', 'first_token', 'zeros'), top_k=0, small_weight=1e-05,
        lengths=None, threads=None, attention=None, **definition)

What the weights p_ij of each row are like, without a matrix of them; float32. k is an array or a cache, stats what
attend returned for the same arguments.

wants         names among
                max_score, lse, entropy (in nats), total (sum of weights), first_token (weight of key 0),
                mean_distance (in tokens, into the past), and counts of keys: attended, zeros (attended, of weight 0),
                small (attended, of weight at most small_weight)
top_k         also top_keys and top_weights [B, Hq, Sq, top_k], by falling weight; -1 where there is none
small_weight  see small

Returns a dict of NumPy arrays [B, Hq, Sq]. The rest is as in attend.)";

constexpr const char* map_doc =
    R"(attention_map(q, k, stats, *, batch=0, head=0, first_row=0, rows=None,
              lengths=None, threads=None, attention=None, **definition)

The weights of rows [first_row, first_row + rows) of one query head, a NumPy array [rows, Skv] of float32; 0 where a key
is not attended. rows is None for all that follow. The rest is as in observe.)";

/// The kinds of a cache in Python: each makes the same class with other sizes.
template <storage Kind>
struct cache_of : cache {
    using cache::cache;
};

}  // namespace

PYBIND11_MODULE(_heed, m)
{
    m.doc() = "heed's kernels; import heed.";
    m.attr("__version__") = std::to_string(HEED_VERSION_MAJOR) + "." + std::to_string(HEED_VERSION_MINOR) + "." +
                            std::to_string(HEED_VERSION_PATCH);
    m.attr("KEY_TILE") = 512;

    py::class_<attention, std::shared_ptr<attention>>(m, "Attention", definition_doc)
        .def(py::init([](const py::kwargs& words) { return std::make_shared<attention>("Attention", words); }))
        .def("__repr__", [](const attention& a) { return "heed.Attention(" + a.text() + ")"; });

    py::class_<row_stats>(m, "Stats",
                          "Statistics of rows [B, Hq, Sq], from attend(..., stats=True): shift M and mass l, with\n"
                          "l 2^M = sum_j u(s_ij), and lse = ln(c + sum_j u(s_ij)), natural, -inf for an empty row.")
        .def(py::init([](py::object shift, py::object mass, py::object lse) {
                 return row_stats{std::move(shift), std::move(mass), std::move(lse)};
             }),
             "shift"_a, "mass"_a, "lse"_a = py::none())
        .def_readonly("shift", &row_stats::shift, "M, the power of two by which a row's terms are carried.")
        .def_readonly("mass", &row_stats::mass, "l, the sum of masses times 2^-M; the extra mass is not in it.")
        .def_readonly("lse", &row_stats::lse, "ln(c + sum of masses).");

    py::class_<gradient_arrays>(m, "Gradients", "What backward gives: NumPy arrays, or None for what was not wanted.")
        .def_readonly("dq", &gradient_arrays::dq, "[B, Hq, Sq, D].")
        .def_readonly("dk", &gradient_arrays::dk, "[B, Hkv, Skv, D].")
        .def_readonly("dv", &gradient_arrays::dv, "[B, Hkv, Skv, Dv].")
        .def_readonly("dsinks", &gradient_arrays::dsinks, "[Hq].")
        .def_readonly("dbias", &gradient_arrays::dbias, "As the bias.");

    py::class_<partial_state>(
        m, "State",
        R"(Partial results {M, l, o} of rows over some keys, and their normalizer: l = sum_j 2^-M u(s_ij) and
o = sum_j 2^-M w(s_ij) v_j, float32. It is pickled, so that other processes can merge it.

State(shift, mass, out, normalizer=..., ...) makes one from copies of arrays [B, Hq, Sq] and [B, Hq, Sq, Dv].)")
        .def(py::init(&new_state), "shift"_a, "mass"_a, "out"_a)
        .def_readonly("shift", &partial_state::shift, "M of each row, [B, Hq, Sq].")
        .def_readonly("mass", &partial_state::mass, "l of each row, [B, Hq, Sq].")
        .def_readonly("out", &partial_state::out, "o of each row, [B, Hq, Sq, Dv]: not divided.")
        .def("merge", &partial_state::merge, "other"_a,
             "Adds the keys of another state of the same rows and the same normalizer. The keys of the two are "
             "different ones.")
        .def("finish", &partial_state::finish, "out"_a = py::none(), "lse"_a = false,
             "The rows divided by their denominators, [B, Hq, Sq, Dv]; with lse=True also ln of them: (out, lse).")
        .def("copy", &partial_state::copy, "The same in memory of its own.")
        .def(py::pickle(
            [](const partial_state& s) { return py::make_tuple(s.shift, s.mass, s.out, s.of->normalizer_words()); },
            [](const py::tuple& t) { return new_state(t[0], t[1], t[2], py::reinterpret_borrow<py::kwargs>(t[3])); }));
    m.def(
        "merge",
        [](const partial_state& a, const partial_state& b) {
            partial_state both = a.copy();
            both.merge(b);
            return both;
        },
        "a"_a, "b"_a, "merge(a, b)\n\nA new State of the keys of both. Commutative; associative up to rounding.");

    py::class_<cache> base(m, "_Cache");
    base.def("append", &cache::append, "k"_a, "v"_a, "sequence"_a = py::none(),
             R"(append(k, v, sequence=None)

Appends n tokens, rounded as the cache stores them: k [B, Hkv, n, D] and v [B, Hkv, n, Dv] to all sequences, or
[Hkv, n, D] to one. Rows are float32, or float64 for a cache of float64. ValueError, and a cache as it was, where
there is no room.)")
        .def("fetch", &cache::fetch, "sequence"_a, "start"_a = 0, "stop"_a = py::none(),
             "fetch(sequence, start=0, stop=None)\n\nTokens [start, stop) of a sequence as they are attended to: k "
             "[Hkv, n, D] "
             "and v [Hkv, n, Dv].")
        .def("truncate", &cache::truncate, "sequence"_a, "length"_a,
             "truncate(sequence, length)\n\nForgets the tokens of a sequence from `length` on: rejected drafts, or all "
             "of them.")
        .def_property_readonly(
            "lengths",
            [](const cache& c) {
                return py::array_t<std::int64_t>(static_cast<py::ssize_t>(c.lengths().size()), c.lengths().data());
            },
            "Tokens of each sequence, [B]: a copy.")
        .def_property_readonly(
            "dtype", [](const cache& c) { return name_of(c.of()); }, "How rows are stored.")
        .def_property_readonly("nbytes", &cache::bytes, "Bytes of keys and values.")
        .def("__repr__", &cache::text);

    using cache_type = storage;
    const auto bind = [&](auto tag, const char* name, const char* doc) {
        constexpr cache_type kind = decltype(tag)::value;
        using of = cache_of<kind>;
        py::class_<of, cache>(m, name, doc)
            .def(py::init([name](std::int64_t batch, std::int64_t kv_heads, std::int64_t capacity, std::int64_t dim,
                                 py::object value_dim, const std::string& dtype) {
                     return new of(kind, name, batch, {batch, kv_heads, capacity}, dim, value_dim, dtype);
                 }),
                 "batch"_a, "kv_heads"_a, "capacity"_a, "dim"_a, py::kw_only(), "value_dim"_a = py::none(),
                 "dtype"_a = "float32");
    };
    constexpr const char* elements_doc =
        "\n\ndtype is float32, float64, float16 or bfloat16, beside queries of the same type; or q8_0 (8.5 bits a "
        "number) or\n"
        "q4_0 (4.5 bits), in blocks of 32 channels with a scale each, beside queries of float32.";
    bind(std::integral_constant<cache_type, storage::dense>{}, "Cache",
         (std::string("Keys and values of B sequences with room for `capacity` tokens each.") + elements_doc).c_str());
    bind(std::integral_constant<cache_type, storage::ring>{}, "RingCache",
         (std::string("Keys and values of B sequences in rings: each keeps its last `capacity` tokens; positions stay "
                      "absolute.") +
          elements_doc)
             .c_str());
    using paged = cache_of<storage::paged>;
    py::class_<paged, cache>(
        m, "PagedCache",
        (std::string("Keys and values of B sequences in a pool of pages, which append takes and truncate gives back.") +
         elements_doc)
            .c_str())
        .def(py::init([](std::int64_t batch, std::int64_t kv_heads, std::int64_t pages, std::int64_t page_size,
                         std::int64_t dim, py::object value_dim, const std::string& dtype) {
                 return new paged(storage::paged, "PagedCache", batch, {pages, kv_heads, page_size}, dim, value_dim,
                                  dtype);
             }),
             "batch"_a, "kv_heads"_a, "pages"_a, "page_size"_a, "dim"_a, py::kw_only(), "value_dim"_a = py::none(),
             "dtype"_a = "float32")
        .def("pages", &cache::pages, "sequence"_a,
             "pages(sequence)\n\nThe numbers of the pages of a sequence, in order.")
        .def_property_readonly("free_pages", &cache::free_pages, "Pages that no sequence has.");

    py::options own_signatures;
    own_signatures.disable_function_signatures();
    const auto none = py::none();
    m.def("attend", &attend, attend_doc, "q"_a, "k"_a, "v"_a = none, py::kw_only(), "out"_a = none, "stats"_a = false,
          "lengths"_a = none, "threads"_a = none, "attention"_a = none);
    m.def("attend_partial", &attend_partial, attend_partial_doc, "q"_a, "k"_a, "v"_a = none, py::kw_only(),
          "state"_a = none, "first_key"_a = 0, "total_keys"_a = none, "tile_stride"_a = 1, "lengths"_a = none,
          "threads"_a = none, "attention"_a = none);
    m.def("backward", &backward, backward_doc, "q"_a, "k"_a, "v"_a, "out"_a, "stats"_a, "dout"_a, py::kw_only(),
          "dlse"_a = none, "wants"_a = py::make_tuple("dq", "dk", "dv"), "lengths"_a = none, "threads"_a = none,
          "attention"_a = none);
    m.def("observe", &observe, observe_doc, "q"_a, "k"_a, "stats"_a, py::kw_only(),
          "wants"_a = py::make_tuple("entropy", "first_token", "zeros"), "top_k"_a = 0, "small_weight"_a = 1e-5,
          "lengths"_a = none, "threads"_a = none, "attention"_a = none);
    m.def("attention_map", &attention_map, map_doc, "q"_a, "k"_a, "stats"_a, py::kw_only(), "batch"_a = 0, "head"_a = 0,
          "first_row"_a = 0, "rows"_a = none, "lengths"_a = none, "threads"_a = none, "attention"_a = none);
    m.def("supported", &supported,
          "supported()\n\nFor each verb the (normalizer, dtype) that its kernels were compiled for.");
    m.def(
        "isa", [] { return std::string(kernels_here().isa); },
        "isa()\n\nThe instruction set that the kernels were compiled for.");
    m.def("arch", &arch_here, "arch()\n\n'native', or which of the build's CPUs was taken for this one.");
}
