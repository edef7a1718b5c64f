// SPDX-License-Identifier: MIT
// Masks as engines hand them over: a causal mask as a table [Sq, Skv], of floats that are added to the scores (0 and
// -inf) or of bools (true: attend).
#include "attending.hpp"

#include <limits>

namespace bench {
namespace {

/// The case's mask in numbers.
template <class T>
std::shared_ptr<buffer<T>> table_of(const bench_case& c, T attend, T leave_out)
{
    const auto table = std::make_shared<buffer<T>>(c.queries * c.keys);
    for (std::int64_t i = 0; i < c.queries; ++i) {
        T* const row = table->get() + i * c.keys;
        const span keys = c.attended(i);
        std::fill(row, row + c.keys, leave_out);
        std::fill(row + keys.begin, row + keys.end, attend);
    }
    return table;
}

template <class T, class Policy>
contestant make(const bench_case& c, const std::shared_ptr<buffer<T>>& table, const Policy& mask)
{
    contestant who = attending_in<float>(c, heed::attention{heed::softmax{}, mask});
    who.run = [run = std::move(who.run), table] { run(); };
    return who;
}

}  // namespace

std::string table_refusal(const bench_case& c)
{
    if (c.phase == "backward") return "backward is measured with masks as policies";
    return c.normalizer == "softmax" && c.element == "f32" ? "" : "masks as tables are measured for softmax, in f32";
}

contestant make_with_table(const bench_case& c)
{
    const heed::extents size{1, 1, c.queries, c.keys};
    if (c.form == mask_form::floats) {
        const auto table = table_of(c, 0.f, -std::numeric_limits<float>::infinity());
        return make(c, table, heed::bias{heed::bhsd<const float>(table->get(), size)});
    }
    const auto table = table_of(c, true, false);
    return make(c, table, heed::dense_mask{heed::bhsd<const bool>(table->get(), size)});
}

}  // namespace bench
