// SPDX-License-Identifier: MIT
// Lists of selected keys from a hostile engine: a status that names the sequence, the row and the entry, nothing
// written, nothing read outside. And what a list says of a tile, beside its definition in words.
#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <limits>
#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

using ints = std::vector<std::int32_t>;
using wide = std::vector<int64>;
constexpr int64 most = std::numeric_limits<int64>::max(), least = std::numeric_limits<int64>::min();

template <class I>
heed::index_view list(const std::vector<I>& v)
{
    return {v.data(), static_cast<int64>(v.size())};
}

heed::list_shape shape(int64 block, int64 heads, int64 group, int64 row_blocks, int64 rows)
{
    heed::list_shape s;
    s.block = block;
    s.heads = heads;
    s.group = group;
    s.row_blocks = row_blocks;
    s.rows = rows;
    return s;
}

/// A call of 2 sequences of 70 keys, 3 rows each, 4 heads over 2.
struct call {
    tensor<float> q = normal<float>({2, 4, 3, 4}, 1), out{{2, 4, 3, 4}, 5};
    tensor<float> k = normal<float>({2, 2, 70, 4}, 2), v = normal<float>({2, 2, 70, 4}, 3);

    heed::status attend(const heed::selected_keys& keys)
    {
        return heed::attend(heed::attention{keys, heed::causal{}}, q.in(), k.in(), v.in(), out.view());
    }
    void refused(const heed::selected_keys& keys, const char* says)
    {
        const std::vector<float> before = out.data;
        const heed::status s = attend(keys);
        REQUIRE(!s);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(same_bits(out.data, before));
    }
};

}  // namespace

TEST_CASE("lists with an entry out of range, out of order or twice are refused, with sequence, head, row and entry")
{
    call c;
    const ints offsets{0, 2, 3, 3, 5, 5, 6, 7, 9};  // 2 sequences x 2 heads x 2 blocks of 2 rows
    const heed::list_shape s = shape(1, 2, 2, 2, 2);
    const auto refused = [&](const auto& entries, const char* says) {
        c.refused({list(offsets), list(entries), s}, says);
    };
    REQUIRE(c.attend({list(offsets), list(ints{0, 69, 5, 1, 2, 3, 4, 8, 9}), s}));
    refused(ints{0, 70, 5, 1, 2, 3, 4, 8, 9}, "sequence 0, head 0, row 0: entry 1 is 70, not in [0, 70)");
    refused(ints{0, 1, -1, 1, 2, 3, 4, 8, 9}, "sequence 0, head 0, row 2: entry 0 is -1, not in [0, 70)");
    refused(ints{0, 1, 5, 2, 1, 3, 4, 8, 9}, "sequence 0, head 1, row 2: entry 1 is 1, behind 2; entries rise");
    refused(wide{0, 1, 5, 1, 2, 3, 4, 8, 8}, "sequence 1, head 1, row 2: entry 1 is 8, behind 8; entries rise");
    refused(wide{0, 1, 5, 1, 2, most, 4, 8, 9}, "sequence 1, head 0, row 2: entry 0 is 9223372036854775807");
    refused(wide{0, 1, 5, 1, 2, least, 4, 8, 9}, "sequence 1, head 0, row 2: entry 0 is -9223372036854775808");
    refused(wide{0, 1, 5, 1, 2, 3, 4, 8, int64{1} << 32}, "sequence 1, head 1, row 2: entry 1 is 4294967296");
    // blocks: the last one may be cut short, and none may begin behind the keys
    REQUIRE(c.attend({list(offsets), list(ints{0, 4, 2, 1, 2, 3, 4, 1, 4}), shape(16, 2, 2, 2, 2)}));
    c.refused({list(offsets), list(ints{0, 5, 2, 1, 2, 3, 4, 1, 4}), shape(16, 2, 2, 2, 2)},
              "entry 1 is 5, not in [0, 5)");
}

TEST_CASE("lists whose offsets or shape do not suit the call are refused")
{
    call c;
    const ints entries{0, 1, 2, 3};
    const auto offsets_refused = [&](const wide& offsets, const char* says) {
        c.refused({list(offsets), list(entries)}, says);
    };
    REQUIRE(c.attend({list(wide{0, 2, 4}), list(entries)}));
    offsets_refused({1, 2, 4}, "offsets[0] = 1, must be 0");
    offsets_refused({0, 2, 1}, "offsets[2] = 1; offsets rise to at most the 4 entries");
    offsets_refused({0, 2, 5}, "offsets[2] = 5; offsets rise");
    offsets_refused({0, most, 4}, "offsets[1] = 9223372036854775807");
    offsets_refused({0, least, 4}, "offsets[1] = -9223372036854775808");
    offsets_refused({0, 4}, "2 offsets and 4 entries for 2 x 1 x 1 lists");
    offsets_refused({}, "0 offsets and 4 entries");
    const wide two{0, 2, 4};
    const std::int32_t* const null = nullptr;
    c.refused({two, heed::index_view(null, 4)}, "4 entries at null");
    c.refused({heed::index_view(null, 3), entries}, "3 offsets at null");
    c.refused({two, heed::index_view(entries.data(), -4)}, "-4 entries at null");
    const auto shape_refused = [&](const heed::list_shape& s, const char* says) { c.refused({two, entries, s}, says); };
    shape_refused(shape(0, 1, 1, 1, most), "blocks of 0 keys; they have 1 to 512");
    shape_refused(shape(513, 1, 1, 1, most), "blocks of 513 keys");
    shape_refused(shape(1, 3, 1, 1, most), "lists for 3 heads in groups of 1: q has 4 heads, kv 2");
    shape_refused(shape(1, 2, 1, 1, most), "lists for 2 heads in groups of 1");
    shape_refused(shape(1, 2, 0, 1, most), "lists for 2 heads in groups of 0");
    shape_refused(shape(1, 2, most, 1, most), "lists for 2 heads in groups of 92233");
    shape_refused(shape(1, 0, 1, 1, most), "lists for 0 heads");
    shape_refused(shape(1, 1, 1, 1, 2), "1 lists for 2 rows each, for 3 query rows");
    shape_refused(shape(1, 1, 1, 0, most), "0 lists for");
    shape_refused(shape(1, 1, 1, 1, 0), "1 lists for 0 rows each");
    shape_refused(shape(1, 1, 1, most, most), "3 offsets and 4 entries for 2 x 1 x 9223372036854775807 lists");
}

TEST_CASE("a tile is none, full or partial of a list, and marked by it, as its keys are one by one")
{
    std::mt19937_64 random(3);
    const auto drawn = [&](int64 low, int64 high) { return std::uniform_int_distribution<int64>(low, high)(random); };
    int full = 0, none = 0;
    for (int turn = 0; turn < 3000; ++turn) {
        const int64 keys = drawn(1, 300), block = turn % 3 == 0 ? 1 : drawn(1, 60), rows = drawn(1, 3);
        const int64 blocks = (keys + block - 1) / block, row_blocks = (5 + rows - 1) / rows;
        wide offsets{0};
        ints entries;
        std::vector<std::vector<bool>> wanted;
        for (int64 n = 0; n < 2 * row_blocks; ++n) {
            const int64 share = drawn(0, 10);
            wanted.emplace_back(keys);
            for (int64 e = 0; e < blocks; ++e) {
                if (drawn(1, 10) > share) continue;
                entries.push_back(static_cast<std::int32_t>(e));
                for (int64 j = e * block; j < std::min(keys, (e + 1) * block); ++j)
                    wanted.back()[static_cast<std::size_t>(j)] = true;
            }
            offsets.push_back(static_cast<int64>(entries.size()));
        }
        const heed::selected_keys m(offsets, entries, shape(block, 2, 3, row_blocks, rows));
        REQUIRE(m.check({1, 6, 2, 5, keys}));
        const int64 begin = drawn(0, keys - 1), end = drawn(begin + 1, std::min(keys, begin + 512));
        const int64 row = drawn(0, 4), row_end = drawn(row + 1, 5), head = drawn(0, 1);
        bool all = true, any = false;
        for (int64 i = row; i < row_end; ++i) {
            const auto& list = wanted[static_cast<std::size_t>(head * row_blocks + i / rows)];
            heed::key_bits bits;
            const heed::query_place at{0, head * 3 + i % 3, i, i};
            m.mark(at, begin, static_cast<int>(end - begin), bits);
            for (int64 j = begin; j < end; ++j) {
                const bool is = list[static_cast<std::size_t>(j)];
                all = all && is;
                any = any || is;
                if (m.attends(at, j) != is || bits.test(static_cast<int>(j - begin)) != is) FAIL("key " << j);
            }
            REQUIRE(!m.attends(at, -1));
        }
        const heed::coverage c = m.classify({0, head * 3, head * 3 + 3, row, row_end, row, begin, end});
        REQUIRE(c == (all ? heed::coverage::full : any ? heed::coverage::partial : heed::coverage::none));
        full += all;
        none += !any;
    }
    REQUIRE(full > 100);
    REQUIRE(none > 100);
}

TEST_CASE("a call without rows, keys or sequences takes empty lists")
{
    const wide none{0}, one{0, 0};
    const ints entries;
    tensor<float> q = normal<float>({1, 2, 0, 4}, 1), k = normal<float>({1, 2, 8, 4}, 2), out({1, 2, 0, 4});
    REQUIRE(heed::attend(heed::selected_keys{one, entries}, q.in(), k.in(), k.in(), out.view()));
    tensor<float> row = normal<float>({1, 2, 1, 4}, 1), no_keys({1, 2, 0, 4}), zero({1, 2, 1, 4}, 7);
    REQUIRE(heed::attend(heed::selected_keys{one, entries}, row.in(), no_keys.in(), no_keys.in(), zero.view()));
    REQUIRE(zero.data == std::vector<float>(8, 0.f));
    tensor<float> nobody({0, 2, 1, 4});
    REQUIRE(heed::attend(heed::selected_keys{none, entries}, nobody.in(), nobody.in(), nobody.in(), nobody.view()));
}
