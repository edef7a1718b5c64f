// SPDX-License-Identifier: MIT
// calls TIMES ROWS KEYS DIM: attends ROWS query heads of one kv head to KEYS keys, TIMES times, and prints a hash of
// the outputs. bench/mca/run counts its instructions: the difference of two and one times is those of a call. ELEMENT
// is what K and V hold, and PRODUCTS, where it is defined, what is multiplied.
#include <heed/heed.hpp>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

#if defined(PRODUCTS)
const heed::attention def{heed::softmax{}, PRODUCTS{}};
#else
const heed::attention def{heed::softmax{}};
#endif

/// Elements whose bytes are small: numbers below 2, whatever they are made of.
template <class T>
std::vector<T> elements(std::int64_t n)
{
    std::vector<T> of(static_cast<std::size_t>(n));
    std::vector<unsigned char> bytes(of.size() * sizeof(T));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 37 % 61);
    std::memcpy(static_cast<void*>(of.data()), bytes.data(), bytes.size());
    return of;
}

/// TIMES calls over a cache of E, with a scale for each token where it needs scales.
template <class E>
std::uint64_t outputs(int times, std::int64_t rows, std::int64_t keys, std::int64_t dim)
{
    using number = std::conditional_t<heed::is_quantised_v<E>, float, E>;
    const heed::extents size{1, 1, keys, dim}, few{1, rows, 1, dim};
    const std::vector<number> q(static_cast<std::size_t>(rows * dim), number(0.01f));
    const auto k = elements<E>(keys * heed::elements_for<E>(dim)), v = k;
    const std::vector<float> scale(static_cast<std::size_t>(keys), 0.01f);
    std::vector<number> out(q.size());
    const heed::dense_kv cache{heed::bhsd(k.data(), size), heed::bhsd(v.data(), size)};
    const auto attend = [&](const auto& kv) {
        for (int i = 0; i < times; ++i)
            heed::or_throw(heed::attend(def, heed::bhsd(q.data(), few), kv, heed::bhsd(out.data(), few)));
    };
    if constexpr (sizeof(E) == 1) {
        const heed::per_token scales{heed::bhsd(scale.data(), {1, 1, keys, 1})};
        attend(heed::scaled_kv{cache, scales, scales});
    } else {
        attend(cache);
    }
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const number& x : out) {
        unsigned char bytes[sizeof(number)];
        std::memcpy(bytes, &x, sizeof(x));
        for (const unsigned char b : bytes) hash = (hash ^ b) * 0x100000001b3u;
    }
    return hash;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 5) {
        std::fprintf(stderr, "usage: calls TIMES ROWS KEYS DIM\n");
        return 2;
    }
    std::printf("%016" PRIx64 "\n",
                outputs<ELEMENT>(std::atoi(argv[1]), std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4])));
    return 0;
}
