// SPDX-License-Identifier: MIT
// Page tables, lengths and pools from a hostile engine: a status that names the sequence and the entry, nothing
// written, nothing read outside.
#include "guarded.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

constexpr int64 most = std::numeric_limits<int64>::max();

/// A call of 2 sequences over a pool of 4 pages of 8 tokens.
struct call {
    tensor<float> q = normal<float>({2, 2, 3, 4}, 1), out{{2, 2, 3, 4}, 5};
    tensor<float> k = normal<float>({4, 1, 8, 4}, 2), v = normal<float>({4, 1, 8, 4}, 3);

    heed::status attend(const heed::page_table& table)
    {
        return heed::attend(heed::attention{heed::causal{}}, q.in(), heed::paged_kv{k.in(), v.in(), table}, out.view());
    }
    void refused(const heed::page_table& table, const char* says)
    {
        const std::vector<float> before = out.data;
        const heed::status s = attend(table);
        REQUIRE(!s);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(same_bits(out.data, before));
    }
};

template <class I>
heed::index_view list(const std::vector<I>& v)
{
    return {v.data(), static_cast<int64>(v.size())};
}

}  // namespace

TEST_CASE("tables by rows are refused where a length or a page is wrong, with the sequence and the entry")
{
    call c;
    using wide = std::vector<int64>;
    using narrow = std::vector<std::int32_t>;
    const auto refused = [&](const auto& pages, int64 width, const auto& lengths, const char* says) {
        c.refused(heed::page_table::padded(list(pages), width, list(lengths)), says);
    };
    REQUIRE(c.attend(heed::page_table::padded(list(narrow{3, 1, 2, -9}), 2, list(narrow{16, 8}))));
    refused(narrow{3, 1, 4, 0}, 2, wide{16, 8}, "sequence 1: page 0 of 1 is 4; the pool has 4");
    refused(narrow{3, -1, 2, 0}, 2, wide{16, 8}, "sequence 0: page 1 of 2 is -1; the pool has 4");
    refused(wide{3, 1, 2, most}, 2, wide{16, 9}, "sequence 1: page 1 of 2 is 9223372036854775807; the pool has 4");
    refused(wide{int64{1} << 32, 1, 2, 0}, 2, wide{16, 8}, "sequence 0: page 0 of 2 is 4294967296");
    refused(narrow{3, 1, 2, 0}, 2, wide{17, 8}, "sequence 0: length 17 is not in 2 pages of 8 tokens");
    refused(narrow{3, 1, 2, 0}, 2, wide{16, -1}, "sequence 1: length -1 is not in 2 pages");
    refused(narrow{3, 1, 2, 0}, 2, wide{16, most}, "sequence 1: length 9223372036854775807");
    refused(narrow{3, 1, 2, 0}, 2, wide{16, std::numeric_limits<int64>::min()}, "sequence 1: length -92233");
    refused(narrow{3, 1, 2}, 2, wide{16, 8}, "a table of 3 entries for 2 sequences of width 2");
    refused(narrow{3, 1, 2, 0}, most, wide{16, 8}, "a table of 4 entries for 2 sequences");
    refused(narrow{3, 1, 2, 0}, -1, wide{16, 8}, "for 2 sequences of width -1");
    refused(narrow{3, 1, 2, 0}, 2, wide{16}, "q.batch 2 differs from k.batch 1");
    const std::int32_t* const null = nullptr;
    c.refused(heed::page_table::padded({null, 4}, 2, list(wide{16, 8})), "numbers at null");
    c.refused(heed::page_table::padded({null, -4}, 2, list(wide{16, 8})), "a table of -4");
    c.refused(heed::page_table::padded(list(wide{0, 1, 2, 3}), 2, {null, 2}), "numbers at null");
}

TEST_CASE("tables in one list are refused where they are not monotone, too short or out of range")
{
    call c;
    using ints = std::vector<std::int32_t>;
    const auto refused = [&](const ints& indptr, const ints& pages, const ints& last, const char* says) {
        c.refused(heed::page_table::csr(list(indptr), list(pages), list(last)), says);
    };
    REQUIRE(c.attend(heed::page_table::csr(list(ints{0, 2, 3}), list(ints{3, 1, 2}), list(ints{8, 1}))));
    REQUIRE(c.attend(heed::page_table::csr(list(ints{0, 2, 2}), list(ints{3, 3}), list(ints{1, 77}))));  // unread
    refused({0, 2, 3}, {3, 1, 4}, {8, 1}, "sequence 1: page 0 of 1 is 4; the pool has 4");
    refused({0, 2, 3}, {3, -5, 2}, {8, 1}, "sequence 0: page 1 of 2 is -5");
    refused({0, 2, 4}, {3, 1, 2}, {8, 1}, "sequence 1: indptr [2, 4) is not within the 3 pages listed");
    refused({0, 2, 1}, {3, 1, 2}, {8, 1}, "sequence 1: indptr [2, 1)");
    refused({-1, 2, 3}, {3, 1, 2}, {8, 1}, "sequence 0: indptr [-1, 2)");
    refused({0, 2}, {3, 1, 2}, {8, 1}, "indptr has 2 entries for the 2 sequences");
    refused({}, {3, 1, 2}, {8, 1}, "indptr has 0 entries for the 2 sequences");
    refused({0, 2, 3}, {3, 1, 2}, {8, 0}, "sequence 1: last_page_len 0 is not in [1, 8]");
    refused({0, 2, 3}, {3, 1, 2}, {9, 1}, "sequence 0: last_page_len 9 is not in [1, 8]");
    refused({0, 2, 3}, {3, 1, 2}, {-2147483647, 1}, "sequence 0: last_page_len -2147483647");
}

TEST_CASE("pools that do not fit together, pages of no token, and lengths of other sources are refused")
{
    call c;
    const std::vector<int64> lengths{3, 9};
    const heed::page_table table = heed::page_table::padded({lengths.data(), 0}, 0, {lengths.data(), 0});
    const heed::attention def{heed::softmax{}};
    const auto refused = [&](const auto& kv, const char* says) {
        const heed::status s = heed::attend(def, c.q.in(), kv, c.out.view());
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
    };
    auto small = c.v.in();
    small.size.batch = 3;
    refused(heed::paged_kv{c.k.in(), small, table}, "v: pages 3, heads 1, tokens 8 differ from k's 4, 1, 8");
    auto no_k = c.k.in(), no_v = c.v.in();
    no_k.size.tokens = no_v.size.tokens = 0;
    refused(heed::paged_kv{no_k, no_v, table}, "pages of 0 tokens");
    auto wild = c.k.in();
    wild.stride.batch = most / 2;
    refused(heed::paged_kv{wild, c.v.in(), table}, "overflow 64 bits");

    auto k = c.k.in(), v = c.v.in();
    k.size.batch = v.size.batch = 2;
    refused(heed::dense_kv{k, v, heed::index_view(lengths.data(), 2)}, "dense_kv: lengths[1] = 9 is not in [0, 8]");
    refused(heed::dense_kv{k, v, heed::index_view(lengths.data(), 1)}, "dense_kv: 1 lengths for 2 sequences");
    refused(heed::ring_kv{k, v, heed::index_view(lengths.data(), 3)}, "ring_kv: 3 lengths for 2 sequences");
    const std::vector<int64> negative{3, -1};
    refused(heed::ring_kv{k, v, heed::index_view(negative.data(), 2)}, "ring_kv: lengths[1] = -1");
}

TEST_CASE("bounds of packed keys, starts behind padding and pinned tokens are refused where they are wrong")
{
    call c;
    const heed::attention def{heed::softmax{}, heed::causal{}};
    constexpr int64 least = std::numeric_limits<int64>::min();
    using ints = std::vector<int64>;
    const auto refused = [&](const auto& kv, const char* says) {
        const std::vector<float> before = c.out.data;
        const heed::status s = heed::attend(def, c.q.in(), kv, c.out.view());
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(same_bits(c.out.data, before));
    };
    auto k = c.k.in(), v = c.v.in();
    k.size.batch = v.size.batch = 1;
    const auto bounds = [&](const ints& cu, const ints& lengths, const char* says) {
        refused(heed::packed_kv{k, v, list(cu), list(lengths)}, says);
    };
    REQUIRE(heed::attend(def, c.q.in(), heed::packed_kv{k, v, list(ints{1, 4, 8})}, c.out.view()));
    bounds({0, 4, 9}, {}, "packed_kv: sequence 1: [4, 9) is not within the 8 tokens");
    bounds({-1, 4, 8}, {}, "packed_kv: sequence 0: [-1, 4)");
    bounds({0, 5, 4}, {}, "packed_kv: sequence 1: [5, 4)");
    bounds({0, least, most}, {}, "packed_kv: sequence 0: [0, -9223372036854775808)");
    bounds({least, most, 8}, {}, "packed_kv: sequence 0: [-9223372036854775808, 9223372036854775807)");
    bounds({0, 4, 8}, {4, 5}, "packed_kv: lengths[1] = 5 is not in [0, 4]");
    bounds({0, 4, 8}, {-1, 4}, "packed_kv: lengths[0] = -1");
    bounds({0, 4, 8}, {4}, "packed_kv: 1 lengths for 2 sequences");
    bounds({}, {}, "packed_kv: 0 bounds");
    bounds({0}, {}, "q.batch 2 differs from k.batch 0");
    const int64* const null = nullptr;
    refused(heed::packed_kv{k, v, heed::index_view(null, 3)}, "packed_kv: 3 bounds at null");
    refused(heed::packed_kv{c.k.in(), c.v.in(), list(ints{0, 4, 8})}, "packed_kv: k.batch is 4, must be 1");

    k.size.batch = v.size.batch = 2;
    const auto padding = [&](const ints& starts, const ints& ends, const char* says) {
        refused(heed::left_padded_kv{k, v, list(starts), list(ends)}, says);
    };
    REQUIRE(heed::attend(def, c.q.in(), heed::left_padded_kv{k, v, list(ints{3, 8})}, c.out.view()));
    padding({3, 9}, {}, "left_padded_kv: sequence 1: [9, 8) is not within the 8 slots");
    padding({-1, 0}, {}, "left_padded_kv: sequence 0: [-1, 8)");
    padding({least, 0}, {most, 8}, "left_padded_kv: sequence 0: [-9223372036854775808, 9223372036854775807)");
    padding({3, 4}, {2, 8}, "left_padded_kv: sequence 0: [3, 2)");
    padding({3, 4}, {4, 9}, "left_padded_kv: sequence 1: [4, 9)");
    padding({3}, {}, "left_padded_kv: 1 starts and 0 ends for 2 sequences");
    refused(heed::left_padded_kv{k, v, heed::index_view(null, 2)}, "2 starts and 0 ends at null for 2 sequences");

    const auto pinned = [&](const ints& lengths, int64 n, const ints& firsts, const char* says) {
        refused(heed::pinned_ring_kv{k, v, list(lengths), n, list(firsts)}, says);
    };
    for (const int64 any : {least, int64{-1}, int64{0}, int64{1000}, most}) {
        const ints lengths{19, 3}, firsts{any, any};
        REQUIRE(heed::attend(def, c.q.in(), heed::pinned_ring_kv{k, v, list(lengths), 7, list(firsts)}, c.out.view()));
    }
    pinned({9, 9}, 8, {}, "pinned_ring_kv: 8 pinned tokens of 8; 0 to 7 are possible");
    pinned({9, 9}, -1, {}, "pinned_ring_kv: -1 pinned tokens");
    pinned({9, 9}, least, {}, "pinned_ring_kv: -9223372036854775808 pinned tokens");
    pinned({9, 9}, most, {}, "pinned_ring_kv: 9223372036854775807 pinned tokens");
    pinned({9, -9}, 4, {}, "pinned_ring_kv: lengths[1] = -9");
    pinned({9, most}, 4, {}, "pinned_ring_kv: lengths[1] = 9223372036854775807");
    pinned({9}, 4, {}, "pinned_ring_kv: 1 lengths for 2 sequences");
    pinned({9, 9}, 4, {1}, "pinned_ring_kv: 1 firsts for 2 sequences");
}

TEST_CASE("an output in the pool is refused")
{
    call c;
    const std::vector<std::int32_t> pages{0, 1}, lengths{8, 8};
    const heed::paged_kv kv{c.k.in(), c.v.in(), heed::page_table::padded(list(pages), 1, list(lengths))};
    const heed::status s = heed::attend(heed::attention{heed::softmax{}}, c.q.in(), kv,
                                        heed::view<float>{c.v.data.data(), c.out.size, c.out.view().stride});
    REQUIRE_THAT(std::string(s.message()), Contains("out overlaps k or v"));
}

TEST_CASE("only pages in the table are touched, up to their last token, wherever they lie in 64 bits of address")
{
    if (sizeof(void*) < 8) return;
    const auto os_page = static_cast<int64>(test::page_size());
    // Pages of the cache end where a page begins that may not be touched, 2^33 bytes after each other.
    const int64 far = int64{1} << 33, pages = 5, dim = 12;
    void* all = test::reserve_pages(static_cast<std::size_t>(far * pages));
    REQUIRE(all);
    for (const int64 slots : {1, 5, 16, 40})
        for (const int64 queries : {1, 30}) {
            CAPTURE(slots, queries);
            const problem<float> p(1, 2, 1, queries, 3 * slots - slots / 2, dim, dim);
            const auto* begin = static_cast<std::byte*>(all);
            const auto pool = [&](int64 half) {
                return heed::view<float>{reinterpret_cast<float*>(const_cast<std::byte*>(begin + far / 2 * half +
                                                                                         os_page - slots * dim * 4)),
                                         {pages, 1, slots, dim},
                                         {far / 4, 0, dim}};
            };
            const heed::view<float> k = pool(0), v = pool(1);
            const std::vector<std::int32_t> table{4, 0, 3};
            for (int64 i = 0; i < 3; ++i)
                for (const auto& [to, from] : {std::pair{k, p.k.in()}, {v, p.v.in()}}) {
                    float* row = to.row(table[static_cast<std::size_t>(i)], 0, 0);
                    auto* os = reinterpret_cast<std::byte*>(row + slots * dim) - os_page;
                    REQUIRE(test::open_pages(os, static_cast<std::size_t>(os_page)));
                    const int64 n = std::min(slots, p.k.size.tokens - i * slots);
                    std::fill_n(row, slots * dim, std::numeric_limits<float>::quiet_NaN());
                    std::copy_n(from.row(0, 0, i * slots), n * dim, row);
                }
            const std::vector<int64> length{p.k.size.tokens};
            tensor<float> out(p.out_size());
            const heed::attention def{heed::softmax{}, heed::causal{}};
            heed::or_throw(heed::attend(def, p.q.in(),
                                        heed::paged_kv{k, v, heed::page_table::padded(list(table), 3, list(length))},
                                        out.view()));
            REQUIRE(same_bits(out.data, p.attend(def).data));
        }
    test::release_pages(all, static_cast<std::size_t>(far * pages));
}

TEST_CASE("a table is not read behind its last page, though the mask leaves nothing of the last tile")
{
    constexpr int64 slots = 16, pages = 2, tokens = slots * pages;
    guarded memory(4096);
    const auto* const table = memory.place(std::vector<std::int32_t>{1, 0}, -1);
    const heed::index_view length{&tokens, 1};
    const auto k = normal<float>({pages, 1, slots, 4}, 2), v = normal<float>({pages, 1, slots, 4}, 3);
    const heed::paged_kv kv{k.in(), v.in(), heed::page_table::padded({table, pages}, pages, length)};
    // A predicate says nothing of tiles: each is looked at, and nothing is found.
    const heed::attention nobody{heed::softmax{}, heed::attend_where{[](int64, int64, int64, int64) { return false; }}};
    for (const int64 queries : {1, 40}) {
        const auto q = normal<float>({1, 2, queries, 4}, 1);
        tensor<float> out(q.size, 5);
        heed::or_throw(heed::attend(nobody, q.in(), kv, out.view()));
        REQUIRE(out.data == std::vector<float>(out.data.size(), 0.f));
    }
}
