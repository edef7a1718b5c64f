// SPDX-License-Identifier: MIT
// A decode step on all ranks beside the same step in one process.
#pragma once

#include "world.hpp"

#include <heed/adapt/mpi.hpp>
#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace many_machines {

/// A dense tensor [B, H, S, D] that owns its memory.
template <class T>
struct tensor {
    heed::extents size;
    std::vector<T> data;

    explicit tensor(heed::extents e, T value = T())
        : size(e), data(static_cast<std::size_t>(e.batch * e.heads * e.tokens * heed::elements_for<T>(e.dim)), value)
    {}
    heed::view<T> view() { return heed::bhsd(data.data(), size); }
    heed::view<const T> view() const { return heed::bhsd(data.data(), size); }
};

inline tensor<float> random_tensor(heed::extents size, unsigned seed, float spread = 1)
{
    std::minstd_rand random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    tensor<float> t(size);
    for (float& x : t.data) x = spread * uniform(random);
    return t;
}

/// Tokens [first, end) of a view.
template <class T>
heed::view<T> tokens(const heed::view<T>& v, int64 first, int64 end)
{
    return {v.row(0, 0, first), {v.size.batch, v.size.heads, end - first, v.size.dim}, v.stride};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// A step of `tokens` new tokens of each of some sequences, the last of their keys.
struct step {
    int64 batch = 2, heads = 4, kv_heads = 2, dim = 32, keys = 2600, tokens = 3;

    std::size_t rows() const { return static_cast<std::size_t>(batch * heads * tokens); }
    heed::extents queries() const { return {batch, heads, tokens, dim}; }
    heed::extents cache(int64 of) const { return {batch, kv_heads, of, dim}; }
};

/// The keys that this rank has of a sequence.
inline heed::token_span part_of(const world& w, int64 keys) { return heed::mpi::part_of(keys, w.rank(), w.size()); }

/// Attends to the keys of all ranks in order and as a tree, and compares both with `one`, the output of one process.
template <class Def, class Queries, class Kv>
void compare(world& w, const std::string& name, const Def& def, const Queries& q, const Kv& mine,
             const heed::key_part& part, const std::vector<float>& one)
{
    heed::extents size = heed::detail::packed_of<Queries>(q).rows.size;
    size.dim = mine.value_dim();
    tensor<float> out(size, -7.f);
    heed::mpi::options how;
    std::vector<char> memory(heed::mpi::workspace_bytes(def, q, mine, part, how));
    how.workspace = {memory.data(), memory.size()};
    const sent_bytes in_order(w);
    heed::or_throw(heed::mpi::attend(def, q, mine, out.view(), part, how));
    const bool same = same_bits(out.data, one);
    const int64 state = size.batch * size.heads * size.tokens * (size.dim + 2) * int64{sizeof(float)};
    const int64 sent = in_order.sent(), formula = (w.size() - 1) * (state + 8);  // 8: where its keys begin

    how.combine = heed::mpi::combine::as_tree;
    std::fill(out.data.begin(), out.data.end(), -7.f);
    const sent_bytes as_tree(w);
    heed::or_throw(heed::mpi::attend(def, q, mine, out.view(), part, how));
    double difference = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i)
        difference = std::max(difference, std::abs(double(out.data[i]) - double(one[i])));
    if (as_tree.reduced() != w.size() * state) difference = HUGE_VAL;
    w.line(name, same, difference, sent, formula);
}

/// Who computes what ranks are compared with: heed::attend(), or, to compile less where that is known to be the same,
/// this rank with all keys, in a communicator of its own.
enum class reference { attend, own_communicator };

/// A decode step of a cache that make(first, end) makes of some tokens of the sequence.
template <reference By = reference::attend, class Def, class Make>
void decode(world& w, const std::string& name, const Def& def, const step& s, Make make)
{
    const tensor<float> q = random_tensor(s.queries(), 1, 2);
    tensor<float> one(s.queries());
    auto whole = make(int64{0}, s.keys);
    if constexpr (By == reference::attend) {
        heed::or_throw(heed::attend(def, q.view(), whole.source(), one.view()));
    } else {
        heed::mpi::options alone;
        alone.comm = MPI_COMM_SELF;
        heed::or_throw(heed::mpi::attend(def, q.view(), whole.source(), one.view(), {}, alone));
    }
    const heed::token_span mine = part_of(w, s.keys);
    auto some = make(mine.first, mine.end);
    compare(w, name, def, q.view(), some.source(), {mine.first, s.keys, 1}, one.data);
}

/// Keys and values of tokens [first, end), dense.
class dense_cache {
public:
    dense_cache(const step& s, int64 first, int64 end)
        : k_(random_tensor(s.cache(s.keys), 2)), v_(random_tensor(s.cache(s.keys), 3)), first_(first), end_(end)
    {}
    auto source() const { return heed::dense_kv{tokens(k_.view(), first_, end_), tokens(v_.view(), first_, end_)}; }

private:
    tensor<float> k_, v_;
    int64 first_, end_;
};

template <reference By = reference::attend, class Def>
void decode(world& w, const std::string& name, const Def& def, const step& s = {})
{
    decode<By>(w, name, def, s, [&](int64 first, int64 end) { return dense_cache(s, first, end); });
}

}  // namespace many_machines
