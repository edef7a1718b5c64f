// SPDX-License-Identifier: MIT
// Normalizers that ask for a threshold of the whole row: ranks exchange the scores that may have a weight.
#pragma once

#include "prefill.hpp"

namespace many_machines {

using thresholds_of_rows = std::vector<heed::row_threshold<float>>;

/// The scores of rows that may have a weight.
class candidate_lists {
public:
    candidate_lists(const heed::extents& q, int64 places)
        : rows_(static_cast<std::size_t>(q.batch * q.heads * q.tokens)),
          scores_(rows_.size() * static_cast<std::size_t>(places)), size_{q.batch, q.heads, q.tokens, places}
    {
        heed::or_throw(heed::clear(state()));
    }
    heed::threshold_state<float> state() { return {rows_.data(), scores_.data(), size_}; }

private:
    std::vector<heed::row_candidates<float>> rows_;
    std::vector<float> scores_;
    heed::extents size_;
};

template <class Normalizer>
void decode_by_lists(world& w, const std::string& name, const Normalizer& normalizer)
{
    const step s;
    const heed::query_offset at{s.keys - s.tokens};
    const heed::attention def{normalizer, heed::causal{}, at};
    const tensor<float> q = random_tensor(s.queries(), 1, 8);
    tensor<float> one(s.queries());
    heed::or_throw(heed::attend(def, q.view(), dense_cache(s, 0, s.keys).source(), one.view()));

    const heed::token_span mine = part_of(w, s.keys);
    const dense_cache some(s, mine.first, mine.end);
    const heed::key_part part{mine.first, s.keys, 1};
    candidate_lists lists(s.queries(), 256);
    thresholds_of_rows taus(s.rows());
    heed::mpi::options how;
    std::vector<char> memory(heed::mpi::workspace_bytes(lists.state(), how));
    how.workspace = {memory.data(), memory.size()};
    heed::or_throw(heed::threshold_partial(def, q.view(), some.source(), lists.state(), part));
    heed::or_throw(heed::mpi::merge(def, lists.state(), how));
    heed::or_throw(heed::threshold(def, lists.state(), taus));
    compare(w, name, heed::attention{normalizer, heed::causal{}, heed::known_thresholds{taus}, at}, q.view(),
            some.source(), part, one.data);
}

}  // namespace many_machines
