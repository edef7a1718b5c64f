// SPDX-License-Identifier: MIT
// Keys on their way, without attention: each rank sees those that it needs once, in the order of their positions, also
// where spans are longer than a message.
#include "prefill.hpp"

namespace many_machines {
namespace {

constexpr int64 heads = 2, dim = 3;

/// A number for each place of a sequence.
float number_at(int64 head, int64 token, int64 channel)
{
    return static_cast<float>((token * heads + head) * 8 + channel);
}

/// Keys of a span, and values that are the same numbers below 0.
struct numbered_keys {
    tensor<float> k, v;
    int64 first;

    explicit numbered_keys(const heed::token_span& span)
        : k({1, heads, span.end - span.first, dim}), v(k.size), first(span.first)
    {
        for (int64 h = 0; h < heads; ++h)
            for (int64 t = 0; t < k.size.tokens; ++t)
                for (int64 c = 0; c < dim; ++c)
                    v.view().row(0, h, t)[c] = -(k.view().row(0, h, t)[c] = number_at(h, first + t, c));
    }
    auto span() const { return heed::mpi::span<heed::dense_kv<const float>>{{k.view(), v.view()}, first}; }
};

/// Whether these are the keys from `first` on.
template <class Kv>
bool are_from(const Kv& keys, int64 first)
{
    bool same = true;
    for (int64 h = 0; h < heads; ++h)
        for (int64 t = 0; t < keys.tokens(); ++t)
            for (int64 c = 0; c < dim; ++c)
                same = same && keys.k.row(0, h, t)[c] <= number_at(h, first + t, c) &&
                       keys.k.row(0, h, t)[c] >= number_at(h, first + t, c) &&
                       keys.v.row(0, h, t)[c] <= -number_at(h, first + t, c) &&
                       keys.v.row(0, h, t)[c] >= -number_at(h, first + t, c);
    return same;
}

/// Each rank needs the keys up to the end of its late part, but for some of the first ones.
void travel(world& w, const std::string& name, int64 keys)
{
    const parts mine(w, keys);
    const numbered_keys early(mine.early), late(mine.late);
    const heed::mpi::span<heed::dense_kv<const float>> spans[] = {early.span(), late.span()};
    const int64 from = 700 * w.rank(), to = mine.late.end;
    int64 next = -1;
    bool well = true;
    heed::or_throw(heed::mpi::travel(
        spans, [&](int64 first, int64 end) { return first < to && end > from; },
        [&](const auto& some, const heed::key_part& at) {
            well = well && (next < 0 ? at.first_key <= from : at.first_key == next) && are_from(some, at.first_key) &&
                   at.total_keys == keys;
            next = at.first_key + some.tokens();
            return heed::status();
        }));
    w.line(name, well && next >= to, "each in its place");
}

}  // namespace
}  // namespace many_machines

void many_machines::check_travel(world& w)
{
    w.heading("keys on their way", "");
    travel(w, "parts of a message", w.size() * 1024);
    travel(w, "parts of several messages", w.size() * 6000);
}
