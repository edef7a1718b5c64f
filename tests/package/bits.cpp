// SPDX-License-Identifier: MIT
// Prints the bits of some outputs, so that two builds of one program can be compared.
#if defined(SINGLE_HEADER)
#include "heed.hpp"
#else
#include <heed/heed.hpp>
#endif

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

int main()
{
    const heed::extents queries{1, 4, 9, 19}, keys{1, 2, 530, 19}, values{1, 2, 530, 7}, rows{1, 4, 9, 7};
    std::vector<float> numbers(2 * 530 * 19 + 4);
    std::uint32_t random = 1;
    for (float& x : numbers) {
        random = random * 1664525 + 1013904223;
        x = static_cast<float>(random >> 8) * 0x1p-22f - 2;
    }
    std::vector<float> out(4 * 9 * 7);
    const heed::status s = heed::attend(heed::attention{heed::softpick{}, heed::softcap{30}, heed::causal{}},
                                        heed::bhsd(numbers.data(), queries), heed::bhsd(numbers.data() + 4, keys),
                                        heed::bhsd(numbers.data() + 3, values), heed::bhsd(out.data(), rows));
    std::printf("%s, heed %s for %s\n", s.message(), HEED_VERSION_STRING, heed::isa_name());
    for (const float x : out) {
        std::uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        std::printf("%08x\n", static_cast<unsigned>(bits));
    }
    return s ? 0 : 1;
}
