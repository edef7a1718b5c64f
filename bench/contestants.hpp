// SPDX-License-Identifier: MIT
// Those who run a case: heed, the peers that were found when heed-bench was built, softmax fused by hand, and heed
// otherwise: with observe() behind it, over the same cache head by head and in one piece, with its mask as a policy, as
// an op of a graph. A contestant owns its output and scratch and shares the inputs; run() is what is timed.
#pragma once

#include "cases.hpp"

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct contestant {
    std::function<void()> run;
    std::function<std::vector<float>()> output;  // [B, Hq, Sq, Dv] of the last run
    std::string description;                     // what runs, in its own words
};

/// What a peer is made of, as it says itself while it runs.
struct library {
    std::string name, version;
    std::string kernel;   // what it chose for this CPU
    int vector_bits;      // of that; 0: not known
    std::string threads;  // whose they are
};

struct implementation {
    std::string name;
    std::string (*refusal)(const bench_case&);  // asked by refusal() below
    contestant (*make)(const bench_case&);
    bool computes_masked = false;  // masked pairs cost as much as attended ones
    library (*about)() = nullptr;  // of a peer, somebody else's code

    bool is_peer() const { return about != nullptr; }
};

/// heed first, then its peers, then fused, observe, dense, policy and compute_op.
const std::vector<implementation>& implementations();

/// Peers that were not found when heed-bench was built, with the package that has them: "onednn (libdnnl-dev)".
std::vector<std::string> peers_not_built();

/// The bits of heed's vectors in this build.
int vector_bits_of_heed();

/// Why somebody can not run a case, or empty.
std::string refusal(const implementation&, const bench_case&);

/// The case's own; null with a sentence in `wrong` where it can not run it or was not built in.
const implementation* implementation_of(const bench_case&, std::string& wrong);

/// Compares with heed's output of the same case: empty if a contestant computes the same, else how far it is off.
/// `bound` is of the largest output: what summing in another order and rounding weights to the element may do.
std::string disagreement(const bench_case&, const std::vector<float>& of_heed, const std::vector<float>& of_peer);

std::string heed_refusal(const bench_case&);
std::string backward_refusal(const bench_case&);  // of heed in that phase
std::string cache_refusal(const bench_case&);     // of heed over such a cache
std::string compute_op_refusal(const bench_case&);
std::string dense_refusal(const bench_case&);
std::string eigen_refusal(const bench_case&);
std::string fused_refusal(const bench_case&);
std::string observe_refusal(const bench_case&);
std::string openblas_refusal(const bench_case&);
std::string policy_refusal(const bench_case&);
std::string table_refusal(const bench_case&);  // of heed with such masks
std::string onednn_refusal(const bench_case&);

contestant make_heed(const bench_case&);
contestant make_backward(const bench_case&);
contestant make_over_cache(const bench_case&);
contestant make_thresholded(const bench_case&);
contestant make_ordered(const bench_case&);
contestant make_compute_op(const bench_case&);
contestant make_dense(const bench_case&);
contestant make_eigen(const bench_case&);
contestant make_fused(const bench_case&);
contestant make_observe(const bench_case&);
contestant make_openblas(const bench_case&);
contestant make_onednn(const bench_case&);
contestant make_policy(const bench_case&);
contestant make_with_table(const bench_case&);

library eigen_library();
library onednn_library();
library openblas_library();

}  // namespace bench
