// SPDX-License-Identifier: MIT
// Functions of softmax's weights, whose threshold the state of softmax says.
#include "prefill.hpp"

namespace many_machines {
namespace {

template <class Normalizer>
void decode_by_shares(world& w, const std::string& name, const Normalizer& normalizer)
{
    const step s;
    const tensor<float> q = random_tensor(s.queries(), 1, 8);
    tensor<float> one(s.queries()), weighted(s.queries());
    heed::or_throw(heed::attend(heed::attention{normalizer, heed::causal{}}, q.view(),
                                dense_cache(s, 0, s.keys).source(), one.view()));

    const heed::token_span mine = part_of(w, s.keys);
    const dense_cache some(s, mine.first, mine.end);
    const heed::key_part part{mine.first, s.keys, 1};
    std::vector<float> shift(s.rows()), mass(s.rows());
    std::vector<heed::row_threshold<float>> taus(s.rows());
    heed::or_throw(heed::mpi::attend_partial(causal_softmax(s), q.view(), some.source(),
                                             {shift.data(), mass.data(), weighted.data.data(), s.queries()}, part));
    for (std::size_t i = 0; i < taus.size(); ++i)
        if (mass[i] != 0) taus[i] = {shift[i], mass[i], 0};
    compare(w, name, heed::attention{normalizer, heed::causal{}, heed::known_thresholds{taus}}, q.view(), some.source(),
            part, one.data);
}

}  // namespace
}  // namespace many_machines

void many_machines::check_shares(world& w)
{
    const std::vector<float> offsets = {-1, -4, 0, -2};
    decode_by_shares(w, "elastic_softmax", heed::elastic_softmax{offsets});
    decode_by_shares(w, "clipped_softmax", heed::clipped_softmax{-0.003, 1.2});
}
