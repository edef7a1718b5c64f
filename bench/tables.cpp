// SPDX-License-Identifier: MIT
// Masks as engines hand them over: a table [Sq, Skv] of numbers that are added to the scores (0 and -inf, or others) or
// of bools (true: attend), summarised before it is timed, as for all layers of a model.
#include "attending.hpp"
#include "mask_table.hpp"

namespace bench {
namespace {

template <class T>
contestant make(const bench_case& c)
{
    const auto table = table_of<T>(c);
    const heed::view<const T> view = heed::bhsd<const T>(table->get(), {1, 1, c.queries, c.keys});
    const auto memory = std::make_shared<std::vector<std::byte>>(heed::summary_bytes(view));
    heed::mask_summary summary;
    heed::or_throw(heed::summarise(view, {memory->data(), memory->size()}, summary));
    contestant who = attending_in<float>(c, heed::attention{heed::softmax{}, heed::attention_mask<T>{view, summary}});
    who.run = [run = std::move(who.run), table, memory] { run(); };
    return who;
}

}  // namespace

std::string table_refusal(const bench_case& c)
{
    if (c.phase == "backward") return "backward is measured with masks as policies";
    return c.normalizer == "softmax" && c.element == "f32" ? "" : "masks as tables are measured for softmax, in f32";
}

contestant make_with_table(const bench_case& c)
{
    if (c.form == mask_form::bools) return make<bool>(c);
    return c.form == mask_form::halves ? make<heed::f16>(c) : make<float>(c);
}

}  // namespace bench
