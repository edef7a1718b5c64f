// SPDX-License-Identifier: MIT
// The verbs as Python calls them.
#pragma once

#include "attention.hpp"
#include "cache.hpp"

/// {M, l} of rows and, where it was asked for, their lse: [B, Hq, Sq].
struct row_stats {
    py::object shift, mass, lse;
};

/// Partial results of rows, float32, and the normalizer that they belong to.
struct partial_state {
    py::array shift, mass, out;  // [B, Hq, Sq], [B, Hq, Sq], [B, Hq, Sq, Dv]
    std::shared_ptr<const attention> of;

    state_numbers numbers_of(const std::string& what) const;
    py::object finish(py::handle out_array, bool lse) const;
    void merge(const partial_state& other);
    partial_state copy() const;
};

struct gradient_arrays {
    py::object dq = py::none(), dk = py::none(), dv = py::none(), dsinks = py::none(), dbias = py::none();
};

py::object attend(py::object q, py::object k, py::object v, py::object out, bool stats, py::object lengths,
                  py::object threads, py::object definition, const py::kwargs& words);
partial_state attend_partial(py::object q, py::object k, py::object v, py::object state, std::int64_t first_key,
                             py::object total_keys, std::int64_t tile_stride, py::object lengths, py::object threads,
                             py::object definition, const py::kwargs& words);
gradient_arrays backward(py::object q, py::object k, py::object v, py::object out, const row_stats& stats,
                         py::object dout, py::object dlse, py::object wants, py::object lengths, py::object threads,
                         py::object definition, const py::kwargs& words);
py::dict observe(py::object q, py::object k, const row_stats& stats, py::object wants, std::int64_t top_k,
                 double small_weight, py::object lengths, py::object threads, py::object definition,
                 const py::kwargs& words);
py::object attention_map(py::object q, py::object k, const row_stats& stats, std::int64_t batch, std::int64_t head,
                         std::int64_t first_row, py::object rows, py::object lengths, py::object threads,
                         py::object definition, const py::kwargs& words);
partial_state new_state(py::object shift, py::object mass, py::object out, const py::kwargs& words);
py::dict supported();
