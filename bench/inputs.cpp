// SPDX-License-Identifier: MIT
#include "inputs.hpp"

#include <heed/base/element.hpp>

#include <algorithm>
#include <cmath>

namespace bench {
namespace {

template <class E>
void fill(buffer<E>& b, std::uint64_t seed)
{
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u;
    E* const to = b.get();
    for (std::int64_t i = 0; i < b.size(); ++i) {
        // Eight bytes of one multiply sum to nearly a normal number: filling a quarter GB must not take minutes.
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::uint64_t bits = state ^ (state >> 29);
        int sum = 0;
        for (int j = 0; j < 8; ++j, bits >>= 8) sum += static_cast<int>(bits & 255);
        to[i] = static_cast<E>(static_cast<float>(sum - 1020) * (1 / 209.0f));
    }
}

/// Takes a row's part along u out and puts `along` in.
template <class E>
void turn(E* row, std::int64_t dim, double along)
{
    const double length = 1 / std::sqrt(static_cast<double>(dim));  // u = (1, -1, 1, ...) / sqrt(D)
    double has = 0;
    for (std::int64_t c = 0; c < dim; ++c) has += static_cast<double>(row[c]) * (c % 2 ? -length : length);
    const double step = (along - has) * length;
    for (std::int64_t c = 0; c < dim; ++c)
        row[c] = static_cast<E>(static_cast<float>(static_cast<double>(row[c]) + (c % 2 ? -step : step)));
}

/// The share of keys that no row of their group scores above 0: plain loops over the first heads and rows.
template <class E>
double share_without_positive_score(const bench_case& c, const buffer<E>& q, const buffer<E>& k)
{
    const std::int64_t heads = std::min<std::int64_t>(c.batch * c.kv_heads, 4), of_group = c.group() * c.queries,
                       rows = std::min<std::int64_t>(of_group, 64), dim = c.key_dim;
    std::int64_t found = 0;
    for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t j = 0; j < c.keys; ++j) {
            bool positive = false;
            const E* const key = k.get() + (h * c.keys + j) * dim;
            for (std::int64_t i = 0; i < rows && !positive; ++i) {
                const E* const query = q.get() + (h * of_group + i) * dim;
                float dot = 0;
                for (std::int64_t d = 0; d < dim; ++d) dot += static_cast<float>(query[d]) * static_cast<float>(key[d]);
                positive = dot > 0;
            }
            found += !positive;
        }
    return static_cast<double>(found) / static_cast<double>(heads * c.keys);
}

/// Moves rows from [B, H, S, D] to where `stride` has them.
template <class E>
void by_token(const bench_case& c, buffer<E>& rows, const row_steps& step)
{
    buffer<E> to(rows.size());
    const std::int64_t dim = step.head;
    for (std::int64_t row = 0; row < rows.size() / dim; ++row) {
        const std::int64_t head = row / c.keys;
        std::copy_n(rows.get() + row * dim, dim,
                    to.get() + head / c.kv_heads * step.batch + head % c.kv_heads * step.head +
                        row % c.keys * step.token);
    }
    rows = std::move(to);
}

std::string sizes_of(const bench_case& c)
{
    std::string key;
    for (const std::int64_t n :
         {c.batch, c.query_heads, c.kv_heads, c.queries, c.keys, c.key_dim, c.value_dim, std::int64_t{c.weightless},
          std::int64_t{c.layout == kv_layout::bshd}, std::int64_t{c.mla}, c.layers_held()})
        key += std::to_string(n) + " ";
    return key;
}

template <class E>
double found_weightless(const bench_case& c)
{
    return inputs_of<E>(c)->weightless;
}

}  // namespace

row_steps steps_of(const bench_case& c, std::int64_t dim)
{
    const std::int64_t all = c.kv_heads * c.keys * dim;
    return c.layout == kv_layout::bshd ? row_steps{all, dim, c.kv_heads * dim} : row_steps{all, c.keys * dim, dim};
}

template <class E>
inputs<E>::inputs(const bench_case& c)
    : q(c.batch * c.query_heads * c.queries * c.key_dim), k_step(steps_of(c, c.key_dim)),
      v_step(c.mla ? k_step : steps_of(c, c.value_dim)), heads_(c.kv_heads), mla_(c.mla),
      k_(c.layers_held() * c.batch * c.kv_heads * c.keys * c.key_dim),
      v_(c.mla ? 0 : c.layers_held() * c.batch * c.kv_heads * c.keys * c.value_dim)
{
    fill(q, 1);
    fill(k_, 2);
    fill(v_, 3);
    if (c.weightless >= 0) {
        const double a = std::sqrt(6 * std::sqrt(static_cast<double>(c.key_dim)));
        for (std::int64_t i = 0; i < q.size(); i += c.key_dim) turn(q.get() + i, c.key_dim, a);
        for (std::int64_t i = 0; i < k_.size(); i += c.key_dim) {
            const auto percent = static_cast<int>(hashed(static_cast<std::uint64_t>(i / c.key_dim) + 1) % 100);
            turn(k_.get() + i, c.key_dim, percent < c.weightless ? -a : a);
        }
        weightless = share_without_positive_score(c, q, k_);
    }
    if (c.layout == kv_layout::bhsd) return;
    by_token(c, k_, k_step);
    if (!c.mla) by_token(c, v_, v_step);
}

template <class E>
std::shared_ptr<const inputs<E>> inputs_of(const bench_case& c)
{
    static std::string sizes;
    static std::shared_ptr<const inputs<E>> kept;
    if (!kept || sizes != sizes_of(c)) {
        kept.reset();
        kept = std::make_shared<const inputs<E>>(c);
        sizes = sizes_of(c);
    }
    return kept;
}

template std::shared_ptr<const inputs<float>> inputs_of(const bench_case&);
template std::shared_ptr<const inputs<heed::bf16>> inputs_of(const bench_case&);
template std::shared_ptr<const inputs<heed::f16>> inputs_of(const bench_case&);

std::string planted(const bench_case& c)
{
    if (c.weightless < 0) return "";
    const double share = c.element == "bf16"  ? found_weightless<heed::bf16>(c)
                         : c.element == "f16" ? found_weightless<heed::f16>(c)
                                              : found_weightless<float>(c);
    char text[64];
    std::snprintf(text, sizeof(text), "%.1f %% of keys without a positive score", 100 * share);
    return text;
}

}  // namespace bench
