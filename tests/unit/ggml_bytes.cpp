// SPDX-License-Identifier: MIT
// What append() writes into blocks, and fetch() reads of them, are the bytes and numbers of ggml's reference: hashes of
// what quantize_row_*_ref and dequantize_row_* of ggml d99724f2 (2026-08-21, for x86-64 without FMA) made of these
// rows.
#include "../tensors.hpp"

#include <heed/append.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <random>

using test::int64;

namespace {

constexpr int64 blocks = 4096;

/// Whole numbers of 25 bits times a power of two for each block, which lies around 0, above it or below.
std::vector<float> drawn_rows()
{
    std::vector<float> x;
    std::mt19937_64 random(17);
    for (int block = 0; block < blocks; ++block)
        for (int c = 0; c < 32; ++c)
            x.push_back(std::ldexp(
                static_cast<float>(static_cast<int>(random() >> 40) - 8388608 + block % 5 * 3000000 - 6000000),
                block % 24 - 34));
    return x;
}

/// FNV-1a.
std::uint64_t hash_of(const void* data, std::size_t bytes)
{
    std::uint64_t h = 0xcbf29ce484222325u;
    for (std::size_t i = 0; i < bytes; ++i) h = (h ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
    return h;
}

template <class E>
void has_bytes(std::uint64_t written, std::uint64_t read)
{
    const std::vector<float> x = drawn_rows();
    std::vector<E> k(blocks), v(blocks);
    const heed::extents size{1, 1, blocks, 32};
    const heed::dense_kv cache{heed::bhsd(k.data(), size), heed::bhsd(v.data(), size)};
    heed::or_throw(heed::append(cache, 0, 0, heed::bhsd(x.data(), size), heed::bhsd(x.data(), size)));
    CHECK(hash_of(k.data(), blocks * sizeof(E)) == written);
    CHECK(hash_of(v.data(), blocks * sizeof(E)) == written);
    std::vector<float> back(x.size()), other(x.size());
    heed::or_throw(heed::fetch(cache, 0, 0, heed::bhsd(back.data(), size), heed::bhsd(other.data(), size)));
    CHECK(hash_of(back.data(), back.size() * sizeof(float)) == read);
}

}  // namespace

TEST_CASE("blocks of q4_1, q5_1, iq4_nl and mxfp4 have the bytes that ggml's reference writes")
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) return;  // f16 and floats are hashed as they lie
    has_bytes<heed::q4_1>(0x21ad62cc715ae16du, 0x154fd6d8a1762d5au);
    has_bytes<heed::q5_1>(0xf4ca58410351a9d7u, 0x8eafa4cf3af40c14u);
    has_bytes<heed::iq4_nl>(0x0f054ebca3636502u, 0xd1471b1d45ff8538u);
    has_bytes<heed::mxfp4>(0xc704d92d8808fe52u, 0x8b2158028d927df8u);
}
