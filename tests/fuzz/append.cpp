// SPDX-License-Identifier: MIT
// append and fetch over caches of every kind and element: what is written, what is read back, and nothing else.
#include "caches.hpp"

namespace fuzz {
namespace {

/// What a number may differ from what a cache holds of it, where `most` is the largest that shares its scale; negative:
/// not said.
template <class E>
double allowed(double x, double scale, double most)
{
    if constexpr (std::is_same_v<E, float>) return 0;
    else if constexpr (std::is_same_v<E, heed::f16> || std::is_same_v<E, heed::bf16>)
        return unit_of<E> * std::fabs(x) + smallest_step<E> / 2;
    else if constexpr (std::is_same_v<E, heed::fp8_e4m3>)
        return std::fabs(x) > 448 * std::fabs(scale)
                   ? -1
                   : (0x1p-4 + 0x1p-20) * std::fabs(x) + 0x1p-10 * std::fabs(scale) * 1.0001;
    else if constexpr (std::is_same_v<E, heed::fp8_e5m2>)
        return std::fabs(x) > 57344 * std::fabs(scale)
                   ? -1
                   : (0x1p-3 + 0x1p-20) * std::fabs(x) + 0x1p-17 * std::fabs(scale) * 1.0001;
    else if constexpr (std::is_same_v<E, heed::q4_1> || std::is_same_v<E, heed::q5_1>) {
        constexpr double steps = std::is_same_v<E, heed::q4_1> ? 15 : 31;  // the lowest number is as many away from x
        return std::fabs(scale) * (0.5001 + 0x1.04p-10 * steps) + 0x1.04p-11 * std::fabs(x) + steps * 0x1p-24;
    } else if constexpr (std::is_same_v<E, heed::iq4_nl>) return std::fabs(scale) * (17.01 + 0.05 * 127);
    else if constexpr (std::is_same_v<E, heed::mxfp4>) return 2 * scale;  // of what is cut off at 6 of them
    else if constexpr (has_zero_point<E>) return scale * 0.5001 + 0x1p-22 * most;
    else return std::fabs(scale) * 0.5001 + 0x1p-22 * std::fabs(x);
}

template <class E>
struct side_check {
    const cache_side<E>* side;
    bool chooses;  // a scale for each row or block

    double scale(int64 cell, int64 h, int64 slot, int64 c) const
    {
        const E* row = side->rows.v.row(cell, h, slot);
        if constexpr (std::is_same_v<E, heed::mxfp4>)
            return row[c / 32].e == 0 ? 0 : std::ldexp(1., row[c / 32].e - 127);
        else if constexpr (has_zero_point<E>) return number(row[c / channels<E>].scale);
        else if constexpr (constexpr int64 block = channels<E>; block > 1) return number(row[c / block].d);
        if (side->by == scaling::by_token) return number(*side->scale.v.row(cell, h, slot));
        if (side->by == scaling::by_channel) return number(side->scale.v.row(0, h, 0)[c]);
        return 1;
    }
    /// The largest of what shares a scale with channel c, and whether all of it is finite.
    template <class R>
    std::pair<double, bool> shared(const R* given, int64 c, int64 dim) const
    {
        const int64 from = channels<E> > 1 ? c / channels<E> * channels<E> : 0,
                    to = channels<E> > 1 ? from + channels<E> : dim;
        double most = 0;
        bool finite = true;
        for (int64 i = from; i < to; ++i) {
            const double x = number(given[i]);
            finite = finite && std::isfinite(x);
            most = std::max(most, std::fabs(x));
        }
        return {most, finite};
    }
    template <class R>
    void judge(const token_map& at, int64 b, int64 position, const heed::view<R>& given, const char* name) const
    {
        for (int64 h = 0; h < given.size.heads; ++h)
            for (int64 t = 0; t < given.size.tokens; ++t)
                for (int64 c = 0; c < given.size.dim; ++c) {
                    const int64 cell = at.cell(b, position + t), slot = at.slot(b, position + t);
                    const double x = number(given.row(0, h, t)[c]), got = side->number_at(cell, h, slot, c),
                                 s = scale(cell, h, slot, c);
                    const std::string where = std::string(name) + ": " + shown(static_cast<double>(x)) +
                                              " is held as " + shown(static_cast<double>(got)) + ", scale " +
                                              shown(static_cast<double>(s)) + ", head " + std::to_string(h) +
                                              ", token " + std::to_string(t) + ", channel " + std::to_string(c);
                    const auto [most, finite] = shared(given.row(0, h, t), c, given.size.dim);
                    if (chooses) {
                        if (!finite) {
                            require(got != got, where + ": beside NaN or Inf");
                            continue;
                        }
                        if (most == 0) {
                            require(got == 0 && (s == 0 || has_zero_point<E>), where + ": a row of zeros");
                            continue;
                        }
                        if (most > 6e4 || most < 0.05) continue;  // the scale itself is not a normal number
                    } else if constexpr (std::is_same_v<E, std::int8_t>) {
                        if (std::fabs(x) > 127 * s) {
                            require(std::fabs(got) >= 126.99 * s && (got > 0) == (x > 0), where + ": cut off");
                            continue;
                        }
                    }
                    if (x != x) {
                        require(got != got, where);
                        continue;
                    }
                    if (!std::isfinite(x) || std::fabs(x) > overflow<E> / 2) continue;
                    const double may = allowed<E>(x, s, most);
                    if (may >= 0) require(std::fabs(x - got) <= may, where);
                }
    }
};

template <class K, class V, scaling ByK, scaling ByV, class R>
void append_case(input& in)
{
    all_memory().clear();
    const bool hostile = in.one_in(4), repeated = in.one_in(4);
    const int64 sequences = in.range(1, 4), heads = in.range(1, 3);
    const token_map at = token_map::drawn(in, sequences, hostile && in.one_in(2));
    const int64 dim = cache_dim<K>(in), value_dim = cache_dim<V>(in);
    const auto k = cache_side<K>::drawn(in, at, heads, dim, ByK, hostile && in.one_in(4), repeated);
    const auto v = cache_side<V>::drawn(in, at, heads, value_dim, ByV, hostile && in.one_in(4), repeated);
    const int64 batch = at.sequences_told();
    if (at.is_endless()) return;

    int64 b = batch > 0 ? in.range(0, batch - 1) : 0, position = 0, n = in.range(0, 5);
    const bool in_table = at.valid && b < batch;
    if (in_table) {
        const int64 first = at.first(b), end = at.end(b);
        n = std::min(n, end - first);
        position = end - n - (end - n > first && in.one_in(2) ? in.range(0, std::min<int64>(end - n - first, 100)) : 0);
    }
    if (hostile && in.one_in(3)) b = in.one_in(2) ? in.range(-1, batch) : in.hostile();
    if (hostile && in.one_in(3)) position = in.one_in(2) ? position + in.range(-1, 2) : in.hostile();
    heed::extents k_size{1, heads, n, dim}, v_size{1, heads, n, value_dim};
    if (hostile && in.one_in(6)) (in.one_in(2) ? k_size.heads : v_size.tokens) += 1;
    auto k_rows = placed<R>::drawn(in, k_size, false, hostile && in.one_in(6));
    auto v_rows = placed<R>::drawn(in, v_size, false, hostile && in.one_in(6));
    const bool has_memory = k.has_memory() && v.has_memory() && k_rows.has_memory && v_rows.has_memory;
    if (!has_memory) return;  // sizes alone are attend's
    const bool specials = in.one_in(6);
    const family f = family::drawn(in);
    fill(in, k_rows.v, f, specials);
    fill(in, v_rows.v, f, specials);

    const auto same = [](const heed::extents& x, const heed::extents& y) {
        return x.batch == y.batch && x.heads == y.heads && x.tokens == y.tokens && x.dim == y.dim;
    };
    const int64 count = k_rows.v.size.tokens;
    const auto lost = [&](int64 from, int64 end) {
        const auto [gone, back] = at.gone(b);
        return gone < back && from < back && gone < end;
    };
    const bool fits_in = at.valid && b >= 0 && b < batch && position >= at.first(b) && count >= 0 &&
                         wide{position} + count <= at.end(b) && !lost(position, position + count);
    const bool fit_rows =
        same(k_rows.v.size, {1, heads, count, dim}) && same(v_rows.v.size, {1, heads, count, value_dim});
    const bool valid = fits_in && fit_rows && k.is_sound(at, heads, dim) && v.is_sound(at, heads, value_dim);
    // Of scales of whole heads only those that are used are looked at.
    const auto used = [&](int64 cell) {
        for (int64 t = position; t < position + count; ++t)
            if (at.cell(b, t) == cell) return true;
        return false;
    };
    const bool takeable =
        fits_in && fit_rows && k.is_sound(at, heads, dim, used) && v.is_sound(at, heads, value_dim, used);
    bool twice = false;
    if (fits_in && at.is_paged() && count > 0)
        for (int64 i = position / at.slots; i <= (position + count - 1) / at.slots; ++i)
            for (int64 other = 0; other < batch; ++other)
                for (int64 j = 0; j < at.pages_of(other); ++j)
                    twice = twice || (at.page(other, j) == at.page(b, i) && (other != b || j != i));
    const bool k_chooses = ByK == scaling::by_token ? k.scale.v.stride.tokens != 0 : channels<K> > 1;
    const bool v_chooses = ByV == scaling::by_token ? v.scale.v.stride.tokens != 0 : channels<V> > 1;
    // A whole number with a given scale cannot be NaN.
    bool unwritable = false;
    const auto finite = [](const auto& rows) {
        for (int64 h = 0; h < rows.size.heads; ++h)
            for (int64 t = 0; t < rows.size.tokens; ++t)
                for (int64 c = 0; c < rows.size.dim; ++c)
                    if (!std::isfinite(number(rows.row(0, h, t)[c]))) return false;
        return true;
    };
    if (valid) {
        if (std::is_same_v<K, std::int8_t> && !k_chooses && !finite(k_rows.v)) unwritable = true;
        if (std::is_same_v<V, std::int8_t> && !v_chooses && !finite(v_rows.v)) unwritable = true;
    }
    // A cache is written to: its rows are apart. Scales are, where they are chosen.
    const auto apart = [](const auto& rows) { return !touch(rows_of(rows)); };
    const auto nests = [](const auto& rows) { return is_empty(rows.size) || strides_nest(rows); };
    const bool overlaps = valid && !(apart(k.rows.v) && apart(v.rows.v) &&
                                     (!(ByK == scaling::by_token && k_chooses) || apart(k.scale.v)) &&
                                     (!(ByV == scaling::by_token && v_chooses) || apart(v.scale.v)));
    const bool may_refuse = !(nests(k.rows.v) && nests(v.rows.v) && (ByK != scaling::by_token || nests(k.scale.v)) &&
                              (ByV != scaling::by_token || nests(v.scale.v)));
    if (fits_in && count > 0)
        with_source<ByK, ByV, own::all>(at, k, v, [&](const auto& cache) {
            require(static_cast<bool>(cache.check_exclusive(b, position, position + count)) == !twice,
                    "check_exclusive is wrong about pages listed twice");
        });
    all_memory().keep();
    const heed::status s = with_source<ByK, ByV, own::all>(at, k, v, [&](const auto& cache) {
        return heed::append(cache, b, position, heed::view<const R>(k_rows.v), heed::view<const R>(v_rows.v));
    });
    if (!s) {
        require(all_memory().unchanged(), std::string("append refused and wrote: ") + s.message());
        require(!valid || unwritable || overlaps || may_refuse, std::string("append refused: ") + s.message());
        return;
    }
    if (!at.valid) return;  // only pages that are written need be sound
    require(takeable, "append took what is not sound");
    if (!valid) return;
    require(!unwritable && !overlaps, "append took NaN in int8, or rows that overlap");
    // Only the rows of these tokens, and their scales, may differ.
    std::vector<std::pair<const std::byte*, const std::byte*>> own;
    const auto owns = [&](const auto& rows, int64 elements) {
        for (int64 h = 0; h < heads; ++h)
            for (int64 t = 0; t < count; ++t) {
                const auto* row = rows.row(at.cell(b, position + t), h, at.slot(b, position + t));
                own.emplace_back(reinterpret_cast<const std::byte*>(row),
                                 reinterpret_cast<const std::byte*>(row + elements));
            }
    };
    owns(k.rows.v, dim / channels<K>);
    owns(v.rows.v, value_dim / channels<V>);
    if (ByK == scaling::by_token && k_chooses) owns(k.scale.v, 1);
    if (ByV == scaling::by_token && v_chooses) owns(v.scale.v, 1);
    require(all_memory().unchanged_but([&](const std::byte* p) {
        for (const auto& [from, to] : own)
            if (p >= from && p < to) return true;
        return false;
    }),
            "append wrote beside the rows of its tokens");
    if (twice) return;  // the host's to see to
    side_check<K>{&k, k_chooses}.judge(at, b, position, k_rows.v, "k");
    side_check<V>{&v, v_chooses}.judge(at, b, position, v_rows.v, "v");

    // fetch says what lies there now: of these tokens and of those before.
    const int64 first = at.first(b), early = std::max(first, position - 3),
                from = in.range(0, 1) || lost(early, position) ? position : early, read = position + count - from;
    auto k_out = placed<float>::drawn(in, {1, heads, read, dim}, true, false);
    auto v_out = placed<float>::drawn(in, {1, heads, read, value_dim}, true, false);
    all_memory().keep();
    const heed::status fetched = with_source<ByK, ByV, own::all>(
        at, k, v, [&](const auto& cache) { return heed::fetch(cache, b, from, k_out.v, v_out.v); });
    require(static_cast<bool>(fetched), std::string("fetch refused: ") + fetched.message());
    const row_bytes k_bytes(k_out.v), v_bytes(v_out.v);
    require(all_memory().unchanged_but([&](const std::byte* p) { return k_bytes(p) || v_bytes(p); }),
            "fetch wrote beside its rows");
    const auto equal = [&](const auto& side, const heed::view<float>& rows, const char* name) {
        for (int64 h = 0; h < heads; ++h)
            for (int64 t = 0; t < read; ++t)
                for (int64 c = 0; c < rows.size.dim; ++c) {
                    const int64 cell = at.cell(b, from + t), slot = at.slot(b, from + t);
                    const double want = side.stored(cell, h, slot, c) * side.scale_of(cell, h, slot, c),
                                 got = number(rows.row(0, h, t)[c]);
                    const bool fine = want != want ? got != got : static_cast<double>(static_cast<float>(want)) == got;
                    require(fine, std::string("fetch: ") + name + " is " + shown(static_cast<double>(got)) + ", held " +
                                      shown(static_cast<double>(want)));
                }
    };
    equal(k, k_out.v, "k");
    equal(v, v_out.v, "v");
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    using enum scaling;
    input in(data, size);
    switch (in.range(0, 10)) {
    case 0: append_case<float, heed::bf16, none, none, float>(in); break;
    case 1: append_case<std::int8_t, std::int8_t, by_token, by_token, float>(in); break;
    case 2: append_case<std::int8_t, heed::fp8_e4m3, by_channel, by_token, heed::f16>(in); break;
    case 3: append_case<heed::q8_0, heed::q4_0, none, none, float>(in); break;
    case 4: append_case<heed::f16, heed::q8_0, none, none, float>(in); break;
    case 5: append_case<heed::fp8_e4m3, heed::fp8_e5m2, by_token, none, float>(in); break;
    case 6: append_case<heed::f16, heed::bf16, none, none, heed::bf16>(in); break;
    case 7: append_case<heed::q5_0, heed::q5_0, none, none, float>(in); break;
    case 8: append_case<heed::q4_1, heed::q5_1, none, none, float>(in); break;
    case 9: append_case<heed::iq4_nl, heed::mxfp4, none, none, heed::f16>(in); break;
    case 10: append_case<heed::u4_block<64>, heed::u8_block<32>, none, none, float>(in); break;
    }
    return 0;
}
