// SPDX-License-Identifier: MIT
// Tables that are summarised: what an entry means, what a summary says of rows and key tiles, what is refused, and that
// no byte beside the table is read.
#include "guarded.hpp"
#include "masks.hpp"

#include <catch2/catch.hpp>

#include <heed/testing.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

/// Sixty-four entries one after the other, from `raw` bytes.
template <class E, class Raw>
bool agree(const std::vector<Raw>& raw, bool (*attends)(Raw), bool (*adds)(Raw))
{
    for (std::size_t i = 0; i + 64 <= raw.size(); i += 64) {
        const auto* const x = reinterpret_cast<const E*>(raw.data() + i);
        for (std::size_t j = 0; j < 64; ++j)
            if (heed::detail::entry_attends(x + j) != attends(raw[i + j])) return false;
        for (const int n : {1, 7, 8, 63, 64}) {
            const heed::detail::entries seen = heed::detail::look_at(x, n);
            bool any = false;
            for (int j = 0; j < 64; ++j) {
                const Raw e = raw[i + static_cast<std::size_t>(j)];
                const bool in = j < n && attends(e);
                any = any || (in && adds(e));
                if (((seen.attended >> j) & 1) != in) return false;
            }
            if (seen.adds != any) return false;
        }
    }
    return true;
}

std::string says(const heed::status& s) { return s.message(); }

void refused(const heed::status& s, const char* text)
{
    REQUIRE(!s);
    REQUIRE_THAT(says(s), Contains(text));
}

/// Rows [first, end) and keys of one head.
heed::block_place block(int64 row, int64 rows, int64 key, int64 keys, int64 head = 0, int64 heads = 1)
{
    heed::block_place b;
    b.head_begin = head;
    b.head_end = head + heads;
    b.row_begin = b.position_begin = row;
    b.row_end = row + rows;
    b.key_begin = key;
    b.key_end = key + keys;
    return b;
}

}  // namespace

TEST_CASE("-inf alone leaves a key out, and what is neither 0 nor -0 is added, for every pattern of bits", "[tables]")
{
    std::vector<std::uint16_t> halves(1 << 16);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i * 40503u);  // mixed
    using half = std::uint16_t;
    REQUIRE(agree<heed::f16, half>(
        halves, [](half x) { return x != 0xfc00; }, [](half x) { return x != 0 && x != 0x8000; }));
    REQUIRE(agree<heed::bf16, half>(
        halves, [](half x) { return x != 0xff80; }, [](half x) { return x != 0 && x != 0x8000; }));
    std::vector<unsigned char> bytes(256);
    for (std::size_t i = 0; i < 256; ++i) bytes[i] = static_cast<unsigned char>(i);
    bytes.insert(bytes.end(), 64, 0);
    REQUIRE(agree<bool, unsigned char>(
        bytes, [](unsigned char x) { return x != 0; }, [](unsigned char) { return false; }));
    const auto real = [](auto zero) {
        using T = decltype(zero);
        using limits = std::numeric_limits<T>;
        std::vector<T> x(128);
        const T some[] = {
            0, -T(0), 1, -1, limits::infinity(), limits::quiet_NaN(), limits::denorm_min(), limits::lowest()};
        for (std::size_t i = 0; i < 128; ++i) x[i] = i % 3 ? -limits::infinity() : some[i / 3 % 8];
        x[64] = x[66] = -T(0);
        return agree<T, T>(
            x, [](T e) { return !(std::isinf(e) && e < 0); }, [](T e) { return std::isnan(e) || e < 0 || e > 0; });
    };
    REQUIRE(real(0.f));
    REQUIRE(real(0.));
}

TEST_CASE("a summary tells tiles apart as the mask does that the table spells", "[tables]")
{
    const int64 queries = 700, keys = 1311, documents[] = {0, 400, 400, 911, 1311};
    const auto compare = [&](const auto& mask) {
        const table<bool> t({1, 1, queries, keys}, keys, [&](int64, int64, int64 i, int64 j) {
            return mask.attends({0, 0, i, keys - queries + i}, j);
        });
        int told = 0;
        for (const int64 rows : {1, 6, 384})
            for (int64 row = 0; row + rows <= queries; row += 53)
                for (int64 key = 0; key < keys; key += 128) {
                    heed::block_place b = block(row, rows, key, std::min<int64>(rows < 6 ? 700 : 512, keys - key));
                    b.position_begin = keys - queries + row;
                    const heed::coverage is = t.summary.classify(b), of_mask = heed::classify(mask, b);
                    if (of_mask != heed::coverage::partial) REQUIRE(is == of_mask);
                    told += is != heed::coverage::partial;
                    REQUIRE_FALSE(t.summary.adds(b));
                }
        REQUIRE(told > 50);
    };
    SECTION("causal") { compare(heed::causal{}); }
    SECTION("window") { compare(heed::window{.left = 200, .right = 3}); }
    SECTION("document") { compare(heed::document{documents, 5}); }
}

TEST_CASE("a summary says where a table adds, and where of scattered keys none is", "[tables]")
{
    table<float> t({1, 2, 3, 1100}, 1100, [](int64, int64 h, int64 i, int64 j) {
        if (i == 1 && j >= 512) return entry<float>(j == 600 || j == 700);
        return h == 1 && i == 2 && j == 1050 ? -2.f : entry<float>(i != 0);
    });
    const auto none = heed::coverage::none, partial = heed::coverage::partial, full = heed::coverage::full;
    REQUIRE(t.summary.classify(block(0, 1, 0, 1100)) == none);
    REQUIRE(t.summary.classify(block(1, 1, 0, 512)) == full);
    REQUIRE(t.summary.classify(block(1, 1, 512, 88)) == none);
    REQUIRE(t.summary.classify(block(1, 1, 512, 89)) == partial);
    REQUIRE(t.summary.classify(block(1, 1, 600, 101)) == partial);
    REQUIRE(t.summary.classify(block(1, 1, 701, 323)) == none);
    REQUIRE(t.summary.classify(block(1, 2, 0, 512, 0, 2)) == full);
    REQUIRE(t.summary.classify(block(2, 1, 0, 1100, 0, 2)) == full);
    REQUIRE(t.summary.classify(block(0, 2, 0, 512)) == partial);
    REQUIRE_FALSE(t.summary.adds(block(2, 1, 0, 1100)));
    REQUIRE(t.summary.adds(block(2, 1, 1024, 76, 1)));
    REQUIRE(t.summary.adds(block(0, 3, 0, 1100, 0, 2)));
    REQUIRE_FALSE(t.summary.adds(block(0, 3, 0, 1024, 0, 2)));
    *t.at(0, 0, 0, 5) = NAN;
    REQUIRE(t.summary.classify(block(0, 1, 0, 512)) == none);  // what it says holds until it is made again
    t.summarise();
    REQUIRE(t.summary.adds(block(0, 1, 0, 512)));
}

TEST_CASE("of any run of keys the attended ones are marked, with a summary and without", "[tables]")
{
    const table<heed::bf16> t({1, 1, 2, 1500}, 1500, [](int64, int64, int64 i, int64 j) {
        return entry<heed::bf16>(i == 0 ? j % 3 == 0 || j % 7 == 0 : 200 < j && j < 1030);
    });
    for (const bool known : {true, false})
        for (int64 row = 0; row < 2; ++row)
            for (int64 first = 0; first < 1500; first += 37) {
                const int64 most = std::min<int64>(1500 - first, heed::key_bits::capacity);
                for (const int64 count : {int64{1}, most / 3 + 1, most}) {
                    CAPTURE(known, row, first, count);
                    heed::key_bits bits;
                    heed::mark(t.mask(known), {0, 0, row, row}, first, static_cast<int>(count), bits);
                    int wrong = 0;
                    for (int j = 0; j < heed::key_bits::capacity; ++j)
                        wrong += bits.test(j) != (j < count && t.mask().attends({0, 0, row, row}, first + j));
                    REQUIRE(wrong == 0);
                }
            }
}

TEST_CASE("extents that a stride of 0 repeats are summarised once", "[tables]")
{
    const table<heed::f16> one({1, 1, 1, 3000}, 3000,
                               [](int64, int64, int64, int64 j) { return entry<heed::f16>(j < 1000); });
    heed::view<const heed::f16> v = one.view();
    v.size = {3, 8, 50, 3000};
    v.stride = {0, 0, 0};
    REQUIRE(heed::summary_bytes(v) == heed::summary_bytes(one.view()));
    std::vector<std::byte> memory(heed::summary_bytes(v));
    heed::mask_summary s;
    REQUIRE(heed::summarise(v, {memory.data(), memory.size()}, s));
    REQUIRE(s.rows() == 1);
    heed::block_place last = block(49, 1, 0, 512, 7);
    last.batch = 2;
    REQUIRE(s.classify(last) == heed::coverage::full);
    last.key_begin = 2048;
    last.key_end = 2560;
    REQUIRE(s.classify(last) == heed::coverage::none);
}

TEST_CASE("a table that cannot be summarised is refused with its sizes, and so is memory that is too small", "[tables]")
{
    const int64 far = std::numeric_limits<int64>::max(), huge = int64{1} << 60;
    const float x[10] = {};
    std::byte memory[64];
    heed::mask_summary s;
    const heed::workspace room{memory, sizeof(memory)};
    using view = heed::view<const float>;
    const auto refuse = [&](const view& table, const char* text) {
        refused(heed::summarise(table, room, s), text);
        REQUIRE_FALSE(s.is_made());
    };
    refuse({x, {1, 1, -1, 10}, {}}, "summarise: table: batch 1, heads 1, tokens -1 must be >= 0");
    refuse({x, {1, 1, 2, 0}, {}}, "dim 0 >= 1");
    refuse({x, {1, 1, 2, 10}, {0, 0, far}}, "strides 0, 0, 9223372036854775807 overflow 64 bits");
    refuse({x, {1, 4, huge, 10}, {}}, "overflow 64 bits");
    refuse({x, {1, 1, 2 * huge, 1}, {}}, "above 2^60");
    refuse({nullptr, {1, 1, 1, 10}, {}}, "summarise: table.data is null");
    refuse({reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + 1), {1, 1, 1, 9}, {}}, "not aligned");
    refuse({x, {1, 1, 2, 10}, {0, 0, 10}, 10}, "takes 20 elements, its container has 10");
    refuse({x, {1, 1, huge, 4}, {0, 0, -1}}, "leave the address space");
    for (const view& wrong : {view{x, {1, 1, -1, 10}, {}}, view{x, {1, 4, huge, 10}, {}}, view{x, {1, 1, 2, 0}, {}}})
        REQUIRE(heed::summary_bytes(wrong) == 0);

    const view rows{x, {1, 1, 10, 10}, {0, 0, 0}};
    const view apart{x, {1, 1, 2, 5}, {0, 0, 5}};
    REQUIRE(heed::summary_bytes(rows) == 7);
    REQUIRE(heed::summary_bytes(apart) == 13);
    refused(heed::summarise(apart, {memory, 12}, s), "summarise: memory of 12 bytes, needs 13");
    refused(heed::summarise(apart, {nullptr, 13}, s), "memory of 13 bytes at null, needs 13");
    REQUIRE(heed::summarise(apart, {memory + 1, 13}, s));
    REQUIRE(s.is_made());
    REQUIRE(heed::summarise(view{nullptr, {1, 0, 3, 10}, {}}, {}, s));
    REQUIRE_FALSE(s.is_made());

    struct idle {
        int concurrency() const { return 2; }
        void operator()(int64, heed::task_ref) const {}
    } executor;
    const table<bool> large({1, 1, 3000, 2000}, 2000, [](int64, int64, int64, int64) { return true; });
    std::vector<std::byte> enough(large.memory.size());
    const heed::status failed = heed::summarise(large.view(), {enough.data(), enough.size()}, s, executor);
    REQUIRE(failed.code() == heed::errc::executor_failed);
    REQUIRE_FALSE(s.is_made());
}

TEST_CASE("a mask of another size than its summary or than the scores is refused, and nothing is written", "[tables]")
{
    const problem<float> p(2, 4, 2, 5, 9, 8, 8);
    tensor<float> out(p.out_size(), 3);
    const auto zeros = [](int64, int64, int64, int64) { return heed::f16(0.f); };
    const table<heed::f16> fits({1, 1, 5, 9}, 9, zeros), shorter({1, 1, 5, 8}, 9, zeros), rows({1, 1, 1, 9}, 9, zeros);
    const auto attend = [&](const auto& mask) {
        return heed::attend(heed::attention{mask}, p.q.in(), p.k.in(), p.v.in(), out.view());
    };
    refused(attend(shorter.mask()), "attention_mask: [1, 1, 5, 8] does not broadcast to [2, 4, 5, 9]");
    refused(attend(heed::attention_mask{fits.view(), rows.summary}),
            "attention_mask: the summary is one of [1, 1, 1, 9], the table is [1, 1, 5, 9]");
    REQUIRE(out.data == std::vector<float>(out.data.size(), 3));
    REQUIRE(attend(rows.mask()));
    REQUIRE(attend(fits.mask()));
}

TEST_CASE("a summary of arbitrary bytes gives wrong numbers and nothing worse", "[tables]")
{
    const problem<float> p(1, 2, 2, 40, 700, 8, 8);
    table<float> t({1, 1, 40, 700}, 700, [](int64, int64, int64, int64) { return 0.f; });
    std::mt19937_64 random(3);
    for (int round = 0; round < 20; ++round) {
        for (std::byte& x : t.memory) x = static_cast<std::byte>(random() >> 40);
        (void)p.attend(heed::attention{t.mask()});
    }
}

TEST_CASE("of a table between forbidden pages nothing else is read, with a summary and without", "[tables]")
{
    const problem<float> p(1, 2, 2, 37, 600, 8, 8);
    for (const int offset : {-1, 0, 3}) {
        guarded memory(1 << 18), summary_memory(1 << 14);
        std::vector<float> entries(37 * 600);
        for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = i % 7 == 0 ? -INFINITY : i % 5 == 0 ? -1.f : 0.f;
        const float* const at = memory.place(entries, offset);
        const heed::view<const float> view = heed::bhsd(at, {1, 1, 37, 600});
        const auto bytes = static_cast<int64>(heed::summary_bytes(view));
        std::byte* const room = summary_memory.place<std::byte>(bytes, offset);
        heed::mask_summary s;
        REQUIRE(heed::summarise(view, {room, static_cast<std::size_t>(bytes)}, s));
        REQUIRE(summary_memory.untouched_around(room, bytes));
        const auto with = p.attend(heed::attention{heed::attention_mask{view, s}}),
                   without = p.attend(heed::attention{heed::attention_mask{view}});
        REQUIRE(same_bits(with.data, without.data));
        for (const float x : with.data) REQUIRE(std::isfinite(x));
        for (const int64 first : {0, 511, 512, 599}) {
            const heed::query_place row{0, 0, 36, 600};
            heed::key_bits bits;
            heed::mark(heed::attention_mask{view}, row, first, static_cast<int>(std::min<int64>(600 - first, 512)),
                       bits);
            REQUIRE(bits.end() <= 600 - first);
        }
    }
}
