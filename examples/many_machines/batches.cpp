// SPDX-License-Identifier: MIT
// Decode of a packed batch: sequences of their own lengths, of which some end on the first ranks, with their own
// numbers of new tokens.
#include "decode.hpp"

void many_machines::check_batches(world& w)
{
    step s;
    s.batch = 3;
    const std::vector<int64> lengths = {2600, 700, 1536}, bounds = {0, 3, 4, 6}, positions = {2597, 699, 1534};
    const heed::attention def{heed::softpick{}, heed::causal{}, heed::query_offset{positions}};
    const tensor<float> rows = random_tensor({1, s.heads, 6, s.dim}, 1, 2);
    const heed::packed<const float> q{rows.view(), bounds};
    const tensor<float> k = random_tensor(s.cache(s.keys), 2), v = random_tensor(s.cache(s.keys), 3);
    tensor<float> one(rows.size);
    heed::or_throw(heed::attend(def, q, heed::dense_kv{k.view(), v.view(), lengths}, one.view()));

    const heed::token_span mine = part_of(w, s.keys);
    std::vector<int64> here;
    for (const int64 n : lengths) here.push_back(std::min(std::max(n - mine.first, int64{0}), mine.end - mine.first));
    const heed::dense_kv some{tokens(k.view(), mine.first, mine.end), tokens(v.view(), mine.first, mine.end),
                              heed::index_view(here)};
    compare(w, "packed rows of 3 lengths", def, q, some, {mine.first, s.keys, 1}, one.data);
}
