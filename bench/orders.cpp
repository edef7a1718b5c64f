// SPDX-License-Identifier: MIT
// Stick-breaking attention to normal scores that are lower by a number: the lower, the further rows reach. Of scores
// around 0 a row ends after some 130 keys, and by 9 lower none of some thousands does.
#include "attending.hpp"
#include "case_mask.hpp"

namespace bench {

namespace {

/// A score as stick_breaking's terms() sees it.
template <class V>
struct lowered_score {
    V of_value;
    V value() const { return of_value; }
};

struct lowered : heed::stick_breaking {
    double by;

    explicit lowered(double number) : by(number) {}

    template <class Score>
    auto terms(Score s) const
    {
        using V = std::decay_t<decltype(s.value())>;
        return heed::stick_breaking::terms(lowered_score<V>{s.value() - by});
    }
};

}  // namespace

contestant make_ordered(const bench_case& c)
{
    const double by = std::stod(c.normalizer.substr(c.normalizer.find_last_of('_') + 1));
    return attending_in<float>(c, heed::attention{lowered{by}, case_mask(c)});
}

}  // namespace bench
