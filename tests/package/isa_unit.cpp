// SPDX-License-Identifier: MIT
// One of the translation units compiled for different machines.
#include "isa_unit.hpp"

#include <heed/heed.hpp>

namespace {

template <class T, class Def>
void attend(const Def& def, const isa_problem& p, const std::vector<double>& numbers, std::vector<unsigned char>& bytes)
{
    const std::vector<T> x(numbers.begin(), numbers.end());
    const heed::extents queries{1, 4, p.queries, p.key_dim}, keys{1, 2, p.keys, p.key_dim},
        values{1, 2, p.keys, p.value_dim};
    const heed::extents rows{1, 4, p.queries, p.value_dim};
    std::vector<T> out(static_cast<std::size_t>(4 * p.queries * p.value_dim));
    const heed::status s = heed::attend(def, heed::bhsd(x.data(), queries), heed::bhsd(x.data() + 5, keys),
                                        heed::bhsd(x.data() + 3, values), heed::bhsd(out.data(), rows));
    if (!s) out.assign(1, T(-1));
    const auto* first = reinterpret_cast<const unsigned char*>(out.data());
    bytes.insert(bytes.end(), first, first + out.size() * sizeof(T));
}

template <class Normalizer>
void both(const Normalizer& n, const isa_problem& p, const std::vector<double>& numbers,
          std::vector<unsigned char>& bytes)
{
    const heed::attention def{n, heed::softcap{30}, heed::causal{} & heed::window{900, 0}};
    attend<float>(def, p, numbers, bytes);
    attend<double>(def, p, numbers, bytes);
    attend<float>(heed::attention{n}, p, numbers, bytes);
}

}  // namespace

std::vector<unsigned char> ATTEND(const isa_problem& p, const std::vector<double>& numbers)
{
    std::vector<unsigned char> bytes;
    both(heed::softpick{}, p, numbers, bytes);
    return bytes;
}
