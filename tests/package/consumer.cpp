// SPDX-License-Identifier: MIT
// A stranger's program. Prints the mean of two values: one query, two keys with the same score.
#include <heed/heed.hpp>

#include <cstdio>

#if defined(EXPECT_NO_MARCH) && defined(__AVX2__)
#error "heed changed the consumer's flags"
#endif

int main()
{
    const float q[] = {1}, k[] = {1, 1}, v[] = {1, 3};
    float out[1] = {};
    const heed::status s = heed::attend(heed::bhsd(q, {1, 1, 1, 1}), heed::bhsd(k, {1, 1, 2, 1}),
                                        heed::bhsd(v, {1, 1, 2, 1}), heed::bhsd(out, {1, 1, 1, 1}));
    std::printf("%s %g\n", s.message(), static_cast<double>(out[0]));
    return s && out[0] == 2 ? 0 : 1;
}
