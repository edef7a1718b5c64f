// SPDX-License-Identifier: MIT
// Random tensors for tests, and bit comparisons.
#pragma once

#include <heed/heed.hpp>

#include <cstring>
#include <random>
#include <vector>

namespace test {

using int64 = std::int64_t;

/// A dense [B, H, S, D] tensor that owns its memory; of quantised blocks, too.
template <class T>
struct tensor {
    heed::extents size;
    std::vector<T> data;

    tensor() = default;
    explicit tensor(heed::extents e) : size(e), data(elements_in(e)) {}
    explicit tensor(heed::extents e, T value) : size(e), data(elements_in(e), value) {}
    heed::view<T> view() { return heed::bhsd(data.data(), size); }
    heed::view<const T> view() const { return heed::bhsd(data.data(), size); }
    heed::view<const T> in() const { return view(); }

private:
    static std::size_t elements_in(const heed::extents& e)
    {
        return static_cast<std::size_t>(e.batch * e.heads * e.tokens * heed::elements_for<T>(e.dim));
    }
};

template <class T>
tensor<T> normal(heed::extents e, std::uint64_t seed, double spread = 1, double mean = 0)
{
    std::mt19937_64 random(seed);
    std::normal_distribution<double> distribution(mean, spread);
    tensor<T> t(e);
    for (T& x : t.data) x = static_cast<T>(static_cast<heed::compute_t<T>>(distribution(random)));
    return t;
}

/// Tokens [first, first + count) of a view.
template <class T>
heed::view<T> tokens(heed::view<T> v, int64 first, int64 count)
{
    return {v.row(0, 0, first), {v.size.batch, v.size.heads, count, v.size.dim}, v.stride};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// q, k, v of a problem, and what attend makes of them.
template <class T>
struct problem {
    tensor<T> q, k, v;

    problem(int64 batch, int64 query_heads, int64 kv_heads, int64 queries, int64 keys, int64 key_dim, int64 value_dim,
            std::uint64_t seed = 1, double spread = 1)
        : q(normal<T>({batch, query_heads, queries, key_dim}, seed, spread)),
          k(normal<T>({batch, kv_heads, keys, key_dim}, seed + 1)),
          v(normal<T>({batch, kv_heads, keys, value_dim}, seed + 2))
    {}
    heed::extents out_size() const { return {q.size.batch, q.size.heads, q.size.tokens, v.size.dim}; }

    template <class Def>
    tensor<T> attend(const Def& def, const heed::options<heed::compute_t<T>>& how = {}) const
    {
        tensor<T> out(out_size(), T(-7));
        heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view(), how));
        return out;
    }
};

/// A state that owns its memory.
template <class T>
struct owned_state {
    std::vector<T> shift, mass, out;
    heed::extents size;

    template <class Def>
    owned_state(const Def& def, heed::extents e) : size(e)
    {
        const auto rows = static_cast<std::size_t>(e.batch * e.heads * e.tokens);
        shift.resize(rows);
        mass.resize(rows);
        out.resize(rows * static_cast<std::size_t>(e.dim));
        heed::or_throw(heed::clear(def, state()));
    }
    heed::state<T> state() { return {shift.data(), mass.data(), out.data(), size}; }
    bool operator==(const owned_state& o) const
    {
        return same_bits(shift, o.shift) && same_bits(mass, o.mass) && same_bits(out, o.out);
    }
};

/// What attend_partial and finish make of a problem whose keys come in two parts, cut at `cut`.
template <class Def, class T>
tensor<T> attend_in_parts(const Def& def, const problem<T>& p, int64 cut)
{
    const int64 keys = p.k.size.tokens;
    owned_state<T> state(def, p.out_size());
    heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), 0, cut), tokens(p.v.in(), 0, cut),
                                        state.state(), {0, keys}));
    heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), cut, keys - cut),
                                        tokens(p.v.in(), cut, keys - cut), state.state(), {cut, keys}));
    tensor<T> out(p.out_size());
    heed::or_throw(heed::finish(def, state.state(), out.view()));
    return out;
}

/// Calls f with every normalizer of the library; `heads` query heads.
template <class F>
void for_each_normalizer(int64 heads, F f)
{
    std::vector<float> logits;
    for (int64 h = 0; h < heads; ++h) logits.push_back(0.5f * static_cast<float>(h) - 1);
    f("softmax", heed::softmax{});
    f("softmax1", heed::softmax1{});
    f("softmax_sink", heed::softmax_sink{logits.data(), heads});
    f("softpick", heed::softpick{});
    f("softpick eps", heed::softpick{1e-3});
    f("sigmoid", heed::sigmoid{-2});
    f("relu<1>", heed::relu<1>{});
    f("relu<2>", heed::relu<2>{});
}

}  // namespace test
