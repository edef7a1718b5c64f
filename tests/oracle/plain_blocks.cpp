// SPDX-License-Identifier: MIT
// Caches of blocks: 32 channels that share a scale. What their bytes mean is decoded here once more, from ggml's
// layout, and append() is held to the error that half a step of the scale allows.
#include "plain_caches.hpp"

#include <heed/append.hpp>

namespace {

using namespace oracle;

/// IEEE binary16, of finite numbers.
double half(unsigned bits)
{
    const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
    const double x = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -x : x;
}

/// The numbers of one block, the step between neighbours, and 2^11 times what they are off beside half of a step.
struct decoded {
    double x[32], step, rounded = 0;
};
unsigned byte_of(const void* block, int i) { return static_cast<const unsigned char*>(block)[i]; }
double scale_of(const void* block) { return half(byte_of(block, 0) | byte_of(block, 1) << 8); }

/// Two bytes of scale, then a byte a channel.
decoded decode(const heed::q8_0& block)
{
    decoded d{{}, std::fabs(scale_of(&block))};
    for (int c = 0; c < 32; ++c) {
        const int q = static_cast<int>(byte_of(&block, 2 + c));
        d.x[c] = scale_of(&block) * (q < 128 ? q : q - 256);
    }
    return d;
}
/// Two bytes of scale, then 16 bytes: channels 0 to 15 in the lower halves, 16 to 31 in the upper ones.
decoded decode(const heed::q4_0& block)
{
    decoded d{{}, std::fabs(scale_of(&block))};
    for (int c = 0; c < 16; ++c) {
        const int both = static_cast<int>(byte_of(&block, 2 + c));
        d.x[c] = scale_of(&block) * (both % 16 - 8);
        d.x[c + 16] = scale_of(&block) * (both / 16 - 8);
    }
    return d;
}

/// Scale and lowest number, then the halves of bytes.
decoded decode(const heed::q4_1& block)
{
    const double d = scale_of(&block), m = half(byte_of(&block, 2) | byte_of(&block, 3) << 8);
    decoded to{{}, std::fabs(d)};
    for (int c = 0; c < 32; ++c) {
        const int both = static_cast<int>(byte_of(&block, 4 + c % 16));
        to.x[c] = static_cast<double>(static_cast<float>(d * (c < 16 ? both % 16 : both / 16) + m));
    }
    to.rounded = 15 * to.step + std::fabs(m);
    return to;
}
/// The fifth bits in four bytes before the halves, the lowest bit of the first byte being channel 0's.
decoded decode(const heed::q5_1& block)
{
    const double d = scale_of(&block), m = half(byte_of(&block, 2) | byte_of(&block, 3) << 8);
    decoded to{{}, std::fabs(d)};
    for (int c = 0; c < 32; ++c) {
        const int both = static_cast<int>(byte_of(&block, 8 + c % 16)), four = c < 16 ? both % 16 : both / 16;
        const int fifth = static_cast<int>(byte_of(&block, 4 + c / 8)) / (1 << c % 8) % 2;
        to.x[c] = static_cast<double>(static_cast<float>(d * (four + 16 * fifth) + m));
    }
    to.rounded = 31 * to.step + std::fabs(m);
    return to;
}
/// Two bytes of scale, then the halves of bytes, which are places among these levels, up to 24 apart.
decoded decode(const heed::iq4_nl& block)
{
    const double levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    decoded to{{}, 34 * std::fabs(scale_of(&block))};  // beyond 113 the next would be at 147
    for (int c = 0; c < 32; ++c) {
        const int both = static_cast<int>(byte_of(&block, 2 + c % 16));
        to.x[c] = scale_of(&block) * levels[c < 16 ? both % 16 : both / 16];
    }
    to.rounded = 0x1p11 * 0.05 * 127 * std::fabs(scale_of(&block));  // least squares move the scale
    return to;
}

/// What the blocks of a pool stand for, decoded once.
template <class E>
class decoded_pool {
public:
    explicit decoded_pool(const test::tensor<E>& pool) : size_(pool.size)
    {
        for (const E& block : pool.data) blocks_.push_back(decode(block));
    }
    const decoded& block(int64 page, int64 head, int64 slot, int64 c) const
    {
        const int64 row = (page * size_.heads + head) * size_.tokens + slot;
        return blocks_[static_cast<std::size_t>(row * (size_.dim / 32) + c / 32)];
    }

private:
    heed::extents size_;
    std::vector<decoded> blocks_;
};

}  // namespace

TEMPLATE_TEST_CASE("blocks that append() fills stand for what was appended, fetch() and attend() read them alike",
                   "[oracle][plain]", heed::q8_0, heed::q4_0, heed::q4_1, heed::q5_1, heed::iq4_nl)
{
    using E = TestType;
    const int64 slots = 31;
    const tokens of({67, 1, 531, 64, 0}, 64);
    const test::page_lists lists(of.all_lengths(), slots);
    test::tensor<E> k({lists.pool_pages(), of.kv_heads, slots, of.key_dim});
    test::tensor<E> v({lists.pool_pages(), of.kv_heads, slots, of.value_dim});
    const heed::paged_kv cache{k.view(), v.view(), lists.padded()};
    const auto rows = [](const test::tensor<float>& x, int64 b, int64 first, int64 n) {
        return heed::strided(x.in().row(b, 0, first), {1, x.size.heads, n, x.size.dim},
                             {0, x.in().stride.heads, x.in().stride.tokens});
    };
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0, n; t < of.length(b); t += n) {  // a prompt, then token by token, then the rest
            n = t == 0 ? (of.length(b) + 1) / 2 : t < 60 ? 1 : of.length(b) - t;
            REQUIRE(heed::append(cache, b, t, rows(of.k(), b, t, n), rows(of.v(), b, t, n)));
        }

    plain::problem p = of.formula();
    const decoded_pool<E> k_pool(k), v_pool(v);
    const auto number = [&](const decoded_pool<E>& pool) {
        return [&lists, &pool](int64 b, int64 h, int64 t, int64 c) {
            return pool.block(lists.page_of(b, t), h, t % slots, c).x[c % 32];
        };
    };
    p.k = number(k_pool);
    p.v = number(v_pool);
    for (int64 b = 0; b < of.batch(); ++b) {
        test::tensor<float> k_back({1, of.kv_heads, of.length(b), of.key_dim}, -7);
        test::tensor<float> v_back({1, of.kv_heads, of.length(b), of.value_dim}, -7);
        REQUIRE(heed::fetch(cache, b, 0, k_back.view(), v_back.view()));
        const auto judge = [&](const test::tensor<float>& given, const test::tensor<float>& back,
                               const decoded_pool<E>& pool) {
            for (int64 h = 0; h < of.kv_heads; ++h)
                for (int64 t = 0; t < of.length(b); ++t)
                    for (int64 c = 0; c < given.size.dim; ++c) {
                        CAPTURE(b, h, t, c);
                        const decoded& one = pool.block(lists.page_of(b, t), h, t % slots, c);
                        const double kept = one.x[c % 32], x = static_cast<double>(given.in().row(b, h, t)[c]);
                        // x / d is rounded once before it is rounded to a whole number
                        if (!(std::fabs(kept - x) <= one.step * (0.5 + 1e-5) + 0x1p-11 * one.rounded))
                            FAIL(kept << " for " << x);
                        if (static_cast<double>(back.in().row(0, h, t)[c]) != kept) FAIL("fetched another number");
                    }
        };
        judge(of.k(), k_back, k_pool);
        judge(of.v(), v_back, v_pool);
    }
    for (const int64 rows_of_queries : {1, 3, 6, 40})
        judge_all_masks(of, rows_of_queries, heed::paged_kv{k.in(), v.in(), lists.csr()}, p);
}
