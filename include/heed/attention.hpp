// SPDX-License-Identifier: MIT
// The definition: what is computed, as a value made of policies in any order.
//
//     heed::attention def{heed::softpick{}, heed::scale{0.125}, heed::softcap{50.}, heed::causal{} &
//     heed::window{4095}};
//
// One normalizer (default: softmax), any number of score maps applied in the order written, any number of masks
// (a key must pass all), at most one scale and one query_offset. A policy that is not named costs nothing.
#pragma once

#include "base/checked.hpp"
#include "base/element.hpp"
#include "base/mistakes.hpp"
#include "base/view.hpp"
#include "compute.hpp"
#include "mask/contract.hpp"
#include "mask/lists.hpp"
#include "normalizer/contract.hpp"
#include "normalizer/softmax.hpp"
#include "score/contract.hpp"

#include <tuple>

HEED_BEGIN

/// The absolute position of query row 0; the default is Skv - Sq. One number, or one for each sequence: of 32 or of 64
/// bits, as a pointer with a count or as a container.
struct query_offset {
    std::int64_t value = 0;   ///< of row 0, in every sequence
    index_view per_sequence;  ///< [B]: of row 0 of each sequence; empty where `value` says it

    /// One for all sequences.
    explicit query_offset(std::int64_t position) : value(position) {}
    /// One for each sequence: [B].
    explicit query_offset(index_view positions) : per_sequence(positions), is_table_(true) {}
    template <class N>
    query_offset(const N* positions, std::int64_t sequences) : query_offset(index_view(positions, sequences))
    {}
    query_offset(std::nullptr_t, std::int64_t sequences)
        : query_offset(static_cast<const std::int64_t*>(nullptr), sequences)
    {}

    /// That of a sequence's row 0.
    std::int64_t of(std::int64_t batch) const { return is_table_ ? per_sequence[batch] : value; }
    /// Fails where there is not one for each sequence, or one is beyond size_limit.
    status check(const problem& p) const
    {
        if (is_table_ && (per_sequence.size() != p.batch || !per_sequence.is_sound()))
            return status::error(errc::invalid_argument, "query_offset: %lld entries%s for batch %lld",
                                 static_cast<long long>(per_sequence.size()), per_sequence.is_null() ? " at null" : "",
                                 static_cast<long long>(p.batch));
        for (std::int64_t b = 0; b < (is_table_ ? per_sequence.size() : 1); ++b)
            if (!detail::within_limit(of(b)))
                return status::error(errc::invalid_argument, "query_offset: entry %lld = %lld is out of range",
                                     static_cast<long long>(b), static_cast<long long>(of(b)));
        return {};
    }

private:
    bool is_table_ = false;
};

namespace detail {

template <class P>
inline constexpr bool is_scale_v = std::is_same_v<P, scale>;
template <class P>
inline constexpr bool is_query_offset_v = std::is_same_v<P, query_offset>;

template <class P>
inline constexpr bool is_policy_v = is_normalizer_v<P> || is_score_map_v<P> || is_mask_v<P> || is_scale_v<P> ||
                                    is_query_offset_v<P> || is_compute_v<P> || is_threshold_table_v<P>;

/// Whether P is a policy other than a normalizer, and a sentence where it is none and none has been said.
template <class P>
struct sound_other_policy {
    static constexpr bool value = is_policy_v<P>, means_to_be = names_attends<P>::value || names_map<P>::value;
    static_assert(sound_mask<P>::value && sound_map<P>::value);  // each has said its sentence
    static_assert(is_policy_v<P> || means_to_be || std::is_same_v<P, unsound>,
                  "heed: a policy of attention{...} is a normalizer, a score map, a mask, heed::scale, "
                  "heed::query_offset or heed::compute; wrap a callable as heed::map_score or heed::attend_where, and "
                  "spell causal as heed::causal{}");
};
template <class P>
using sound_policy = std::conditional_t<is_normalizer_v<P>, sound_normalizer<P>, sound_other_policy<P>>;

/// The index of the first policy that is a normalizer, or their number.
template <class... Policies>
constexpr std::size_t normalizer_index()
{
    constexpr bool is[] = {is_normalizer_v<Policies>..., true};
    std::size_t i = 0;
    while (!is[i]) ++i;
    return i;
}

}  // namespace detail

/// The definition of an attention: what is computed, as a value made of policies in any order.
///
///     p_ij = w(s_ij) / (c_i + sum_j u(s_ij))      s_ij = maps(scale * (q_i . k_j)), of the keys that the masks leave
///
/// One normalizer (default: softmax), any number of score maps, applied in the order written, any number of masks, of
/// which a key must pass all, at most one heed::scale (default: 1/sqrt(Dqk)) and one heed::query_offset (default:
/// Skv - Sq), and at most one heed::compute of bf16 or std::int8_t. What is not named costs nothing. A wrong policy is
/// a sentence at compile time; a policy's parameters are checked by every verb, which returns a status.
template <class... Policies>
class attention {
    static_assert(!(... || detail::are_terms_not_const_v<Policies>),
                  "heed: terms() of a normalizer is const: `template <class Score> auto terms(Score s) const`");
    static_assert((... && detail::is_check_asked_v<Policies>),
                  "heed: check() of a policy is a const member `heed::status check(const heed::problem&) const`");
    static_assert((sizeof(detail::sound_policy<Policies>) * ... * 1) == 1);  // each has said its sentence
    static_assert((int{is_normalizer_v<Policies>} + ... + 0) <= 1, "heed: attention{...} takes one normalizer");
    static_assert((int{detail::is_scale_v<Policies>} + ... + 0) <= 1, "heed: attention{...} takes one heed::scale");
    static_assert((int{detail::is_query_offset_v<Policies>} + ... + 0) <= 1,
                  "heed: attention{...} takes one heed::query_offset");
    static_assert((int{detail::is_compute_v<Policies>} + ... + 0) <= 1, "heed: attention{...} takes one heed::compute");
    static_assert((int{detail::is_threshold_table_v<Policies>} + ... + 0) <=
                      int{(has_threshold_v<Policies> || ... || false)},
                  "heed: attention{...} takes one heed::keep_thresholds or heed::known_thresholds, beside a normalizer "
                  "with a threshold");
    static_assert(!(has_threshold_v<Policies> || ... || false) ||
                      !((detail::integer_bits_v<Policies> > 0) || ... || false),
                  "heed: compute<std::int8_t> takes no normalizer with a threshold yet");
    static_assert(!(has_order_v<Policies> || ... || false) || !((detail::integer_bits_v<Policies> > 0) || ... || false),
                  "heed: compute<std::int8_t> takes no normalizer with an order yet");

public:
    attention(Policies... policies) : policies_(policies...) {}  ///< in any order

    /// False where a sentence has said what is wrong: the verbs then stop.
    static constexpr bool is_sound =
        (detail::sound_policy<Policies>::value && ...) && (int{is_normalizer_v<Policies>} + ... + 0) <= 1 &&
        (int{detail::is_scale_v<Policies>} + ... + 0) <= 1 && (int{detail::is_query_offset_v<Policies>} + ... + 0) <= 1;

    /// The type of normalizer().
    using normalizer_type =
        std::tuple_element_t<detail::normalizer_index<Policies...>(), std::tuple<Policies..., softmax>>;

    /// The normalizer, softmax unless named.
    normalizer_type normalizer() const
    {
        if constexpr (detail::normalizer_index<Policies...>() == sizeof...(Policies)) return softmax{};
        else return std::get<detail::normalizer_index<Policies...>()>(policies_);
    }

    /// Whether products are of bf16: heed::compute<bf16> is among the policies.
    static constexpr bool computes_in_bf16 = (std::is_same_v<Policies, compute<bf16>> || ...);
    /// Bits of queries and weights in products of integers; 0 where products are of floats.
    static constexpr int integer_bits = (detail::integer_bits_v<Policies> + ... + 0);

    /// Whether thresholds of rows are left in a table.
    static constexpr bool keeps_thresholds = (detail::keeps_thresholds_v<Policies> || ...);
    /// Whether they are found in one.
    static constexpr bool knows_thresholds = (detail::knows_thresholds_v<Policies> || ...);
    /// That table, of T; null where it is of another type, or there is none.
    template <class T>
    number_view<row_threshold<T>> thresholds() const
    {
        number_view<row_threshold<T>> result;
        visit([&](const auto& p) {
            if constexpr (detail::is_table_of_v<T, std::decay_t<decltype(p)>>) result = p.rows;
        });
        return result;
    }

    /// The view that stands beside it: where attend() leaves what is attended by slopes, or left it.
    template <class T>
    auto slope_out() const
    {
        view<std::conditional_t<keeps_thresholds, T, const T>> result;
        visit([&](const auto& p) {
            if constexpr (detail::is_table_of_v<T, std::decay_t<decltype(p)>>) result = p.slope_out;
        });
        return result;
    }

    static constexpr bool has_score_maps = (is_score_map_v<Policies> || ...);  ///< whether scores are mapped

    /// Whether some score maps say where they change nothing.
    static constexpr bool has_conditional_maps = (detail::is_conditional_map_v<Policies> || ...);
    /// Whether some do not.
    static constexpr bool has_unconditional_maps =
        ((is_score_map_v<Policies> && !detail::is_conditional_map_v<Policies>) || ...);

    /// True where every score map has its derivative.
    static constexpr bool has_map_slopes = ((!is_score_map_v<Policies> || has_map_slope_v<Policies>)&&...);

    /// How many score maps have a parameter of that kind.
    template <parameter Kind>
    static constexpr int parameters = (int{parameter_of_v<Policies> == Kind} + ... + 0);

    /// How many policies are masks.
    static constexpr int masks = (int{is_mask_v<Policies>} + ... + 0);
    /// True unless every key of every row is attended by definition.
    static constexpr bool has_mask = masks > 0;

    /// How many of them, `a & b` counted twice, list the keys of a row: kernels then read no others.
    static constexpr int lists = (detail::lists_of<Policies>::value + ... + 0);

    /// The factor of q . k for keys of this many channels.
    double scale_for(std::int64_t key_dim) const
    {
        double result = 1 / libm::sqrt(static_cast<double>(max_of(key_dim, 1)));
        visit([&](const auto& p) {
            if constexpr (detail::is_scale_v<std::decay_t<decltype(p)>>) result = p.value;
        });
        return result;
    }

    /// The absolute position of query row 0.
    std::int64_t position_of_row_0(std::int64_t batch, std::int64_t queries, std::int64_t total_keys) const
    {
        std::int64_t result = total_keys - queries;
        visit([&](const auto& p) {
            if constexpr (detail::is_query_offset_v<std::decay_t<decltype(p)>>) result = p.of(batch);
        });
        return result;
    }

    /// All score maps, in the order written.
    template <class V>
    HEED_INLINE V map_score(V s, const score_place<V>& at) const
    {
        visit([&](const auto& p) HEED_INLINE_LAMBDA {
            if constexpr (is_score_map_v<std::decay_t<decltype(p)>>) s = p.map(s, at);
        });
        return s;
    }

    /// The score maps that do not say where they change nothing.
    template <class V>
    HEED_INLINE V map_score_unconditionally(V s, const score_place<V>& at) const
    {
        visit([&](const auto& p) HEED_INLINE_LAMBDA {
            using P = std::decay_t<decltype(p)>;
            if constexpr (is_score_map_v<P> && !detail::is_conditional_map_v<P>) s = p.map(s, at);
        });
        return s;
    }
    /// Whether any of the others changes one of these scores.
    bool changes(const block_place& block) const
    {
        bool result = false;
        visit([&](const auto& p) {
            if constexpr (detail::is_conditional_map_v<std::decay_t<decltype(p)>>) result = result || p.changes(block);
        });
        return result;
    }

    /// The gradient in s of all score maps' result, given that in the result. `learn(kind, g)` receives the gradient in
    /// each map's own parameter, with its kind as a constant. Where the result has gradient 0, so has everything.
    template <class V, class Learn, std::size_t I = 0>
    HEED_INLINE V map_score_back(V s, const score_place<V>& at, V dresult, const Learn& learn) const
    {
        if constexpr (I == sizeof...(Policies)) {
            return dresult;
        } else {
            const auto& p = std::get<I>(policies_);
            using map = std::decay_t<decltype(p)>;
            if constexpr (is_score_map_v<map>) {
                const V g = map_score_back<V, Learn, I + 1>(p.map(s, at), at, dresult, learn);
                const auto through = [&](V slope) HEED_INLINE_LAMBDA { return select(g == V(0), V(0), g * slope); };
                if constexpr (parameter_of_v<map> != parameter::none)
                    learn(std::integral_constant<parameter, parameter_of_v<map>>{}, through(p.parameter_slope(s, at)));
                return through(p.slope(s, at));
            } else {
                return map_score_back<V, Learn, I + 1>(s, at, dresult, learn);
            }
        }
    }

    /// Whether all masks attend a key.
    bool attends(const query_place& at, std::int64_t key) const
    {
        bool result = true;
        visit([&](const auto& p) {
            if constexpr (is_mask_v<std::decay_t<decltype(p)>>) result = result && p.attends(at, key);
        });
        return result;
    }

    /// What the masks together make of a block; partial is always sound.
    coverage classify(const block_place& block) const
    {
        coverage result = coverage::full;
        visit([&](const auto& p) {
            if constexpr (is_mask_v<std::decay_t<decltype(p)>>) {
                if (result == coverage::none) return;
                const coverage c = heed::classify(p, block);
                if (c != coverage::full) result = c;
            }
        });
        return result;
    }

    /// Sets the bits of the keys among [first, first + count) that all masks attend, and clears all others.
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        bits.clear();
        if (masks != 1) bits.set_range(0, count);
        visit([&](const auto& p) {
            if constexpr (is_mask_v<std::decay_t<decltype(p)>> && masks == 1) {
                heed::mark(p, at, first, count, bits);
                bits.clear_from(count);
            } else if constexpr (is_mask_v<std::decay_t<decltype(p)>>) {
                key_bits own;
                heed::mark(p, at, first, count, own);
                bits &= own;
            }
        });
    }

    /// The keys that the first list leaves to a row.
    key_list list(const query_place& at) const
    {
        static_assert(lists > 0);
        key_list result;
        bool found = false;
        visit([&](const auto& p) {
            if constexpr (detail::lists_of<std::decay_t<decltype(p)>>::value > 0) {
                if (!found) result = detail::first_list(p, at);
                found = true;
            }
        });
        return result;
    }
    /// How many query rows, from each multiple of it on, share a list; 0 where there is none.
    std::int64_t list_rows() const
    {
        std::int64_t result = 0;
        visit([&](const auto& p) {
            if constexpr (detail::lists_of<std::decay_t<decltype(p)>>::value > 0)
                if (result == 0) result = max_of(detail::rows_of_list(p), 0);
        });
        return result;
    }
    /// What all the others do: full where the list alone says what a row attends.
    coverage classify_beside_list(const block_place& block) const
    {
        coverage result = lists > 1 ? coverage::partial : coverage::full;
        visit([&](const auto& p) {
            if constexpr (is_mask_v<std::decay_t<decltype(p)>>) {
                const coverage c = detail::classify_beside_lists(p, block);
                if (result != coverage::none && c != coverage::full) result = c;
            }
        });
        return result;
    }

    /// What the policies say of their own parameters.
    status check(const problem& p) const
    {
        status result;
        visit([&](const auto& policy) {
            if constexpr (detail::has_check<std::decay_t<decltype(policy)>>::value)
                if (result) result = policy.check(p);
        });
        return result;
    }

private:
    template <class F>
    HEED_INLINE void visit(F f) const
    {
        std::apply([&](const auto&... p) HEED_INLINE_LAMBDA { (f(p), ...); }, policies_);
    }

    std::tuple<Policies...> policies_;
};

namespace detail {

template <class Def>
struct definition {
    using type = attention<Def>;
};
template <class... Policies>
struct definition<attention<Policies...>> {
    using type = attention<Policies...>;
};

/// What a verb computes, given a definition or a policy alone.
template <class Def>
using definition_t = typename definition<Def>::type;

}  // namespace detail
HEED_END
