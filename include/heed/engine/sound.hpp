// SPDX-License-Identifier: MIT
// The wall: whether the types of a call are sound, and a sentence where they are not. Verbs ask before they instantiate
// anything that would fail by them: a mistake is one sentence, and not what follows from it.
//
// A contract probes its policies with double. Here they meet vectors as well: this room knows both.
#pragma once

#include "../attention.hpp"
#include "../kv/contract.hpp"
#include "../options.hpp"
#include "simd/exp.hpp"

HEED_BEGIN
namespace detail {

/// Whether terms are made of parts that become V. A part of long double comes of no_number.
template <class Terms, class V>
inline constexpr bool are_terms_v = false;
template <class Part, class V>
inline constexpr bool are_terms_v<ratio<Part>, V> =
    std::is_convertible_v<Part, V> && !std::is_same_v<Part, long double>;
template <class Part, class V>
inline constexpr bool are_terms_v<weight<Part>, V> = are_terms_v<ratio<Part>, V>;

/// What terms() of a normalizer receives in kernels.
template <class P, class T, threshold_kind Kind = threshold_kind_v<P>>
struct vector_score_of {
    using type = simd::shifted_score<T>;
};
template <class P, class T>
struct vector_score_of<P, T, threshold_kind::sum> {
    using type = score_above_threshold<simd::vec<T>>;
};
template <class P, class T>
struct vector_score_of<P, T, threshold_kind::share> {
    using type = score_share<simd::vec<T>>;
};
template <class P, class T>
using vector_score = typename vector_score_of<P, T>::type;

/// What a policy gives for a vector of T. What a score map says that it returns tells nothing of what is in it, but for
/// the callable of a map_score.
template <class P, class T>
struct vector_probe {
    using type = std::conditional_t<is_normalizer_v<P>, terms_call_heed_functions<const P&, vector_score<P, T>>,
                                    identity<simd::vec<T>>>;
};
template <class F, class Slope, class T>
struct vector_probe<map_score<F, Slope>, T> {
    using type = map_of<const F&, simd::vec<T>>;
};

/// Whether a definition is sound in T. (Each place between a mistake and the call of a verb is a line of what a
/// compiler prints; and clang takes nothing that a struct has whose static_assert failed for a constant, but in `if
/// constexpr`.)
template <class Def, class T, bool = Def::is_sound>
struct sound_definition : std::false_type {};
template <class... Policies, class T>
struct sound_definition<attention<Policies...>, T, true> {
    static constexpr bool has_own_tables = ((!is_threshold_table_v<Policies> || is_table_of_v<T, Policies>)&&...);
    static_assert(has_own_tables, "heed: thresholds are heed::row_threshold<double> for double tensors, and "
                                  "row_threshold<float> for others");
    static constexpr bool value =
        has_own_tables &&
        ((is_normalizer_v<Policies>
              ? are_terms_v<typename vector_probe<Policies, T>::type::type, simd::vec<T>>
              : std::is_convertible_v<typename vector_probe<Policies, T>::type::type, simd::vec<T>>)&&...);
    static_assert(
        ((!is_normalizer_v<Policies> ||
          are_terms_v<typename vector_probe<Policies, T>::type::type, simd::vec<T>>)&&...),
        "heed: terms() compiles for vectors of scores and gives vectors for them: write heed::select(c, a, b) "
        "for `c ? a : b`, and heed::exp(x) for std::exp(x)");
    static_assert(((is_normalizer_v<Policies> ||
                    std::is_convertible_v<typename vector_probe<Policies, T>::type::type, simd::vec<T>>)&&...),
                  "heed: map_score takes a callable of a score and its place that gives vectors for vectors: "
                  "[](auto s, const auto& at) { ... }");
};

/// What a call returns whose definition or elements are not sound: the compiler has said why, or should have.
inline status unsound_call(const char* verb)
{
    return status::error(errc::invalid_argument,
                         "%s: a policy or an element of the call does not keep its contract: its functions take other "
                         "arguments than that says",
                         verb);
}

/// Whether q, and what a cache is made of, are computed in T. (Of what is no element at all, compute_t says so.)
template <class T, class Q, class Kv>
struct sound_inputs {
    using K = typename Kv::key_element;
    using V = typename Kv::value_element;
    static constexpr bool are_elements = is_element_v<std::remove_const_t<Q>> && is_element_v<widened_t<K>> &&
                                         is_element_v<widened_t<V>>,
                          are_computed_in_T = std::is_same_v<compute_t<Q>, T> &&
                                              std::is_same_v<compute_t<widened_t<K>>, T> &&
                                              std::is_same_v<compute_t<widened_t<V>>, T>,
                          keys_have_scales = !element_traits<K>::needs_scales || has_key_scales_v<Kv> ||
                                             has_channel_scales_v<Kv> || has_key_blocks_v<Kv>,
                          values_have_scales = !element_traits<V>::needs_scales || has_value_scales_v<Kv>;
    static constexpr bool are_named = !std::is_const_v<K> && !std::is_const_v<V>;
    static constexpr bool value =
        are_elements && are_computed_in_T && keys_have_scales && values_have_scales && are_named;

    static_assert(are_named,
                  "heed: key_element and value_element of a kv source are not const, even where its rows are");
    static_assert(are_computed_in_T, "heed: q, k, v and out are made of float, bf16 and f16 in any mix, k and v of "
                                     "quantised elements too, or all of double");
    static_assert(keys_have_scales, "heed: keys of int8 have scales: scaled_kv; keys of codes have zero points, too");
    static_assert(values_have_scales, "heed: values of int8 have scales: scaled_kv");
};

/// Whether an output is made of what is computed in T; nothing is said of it beside wrong inputs.
template <class T, class O, bool HasInputs = true>
struct sound_output {
    static constexpr bool is_computed_in_T =
        is_element_v<std::remove_const_t<O>> &&
        std::is_same_v<T, double> == std::is_same_v<std::remove_const_t<O>, double>;
    static constexpr bool value = HasInputs && !std::is_const_v<O> && is_computed_in_T;

    static_assert(!HasInputs || !std::is_const_v<O>, "heed: out is written, and no view of const elements");
    static_assert(!HasInputs || is_computed_in_T, "heed: out is made of an element type that is computed in that of q: "
                                                  "of float, bf16 or f16, or of double");
};

/// What an argument of a verb is: memory is what a view can be made of.
enum class argument { definition, view, packed, source, options, memory, other };

template <class... Policies>
std::integral_constant<argument, argument::definition> kind_of(const attention<Policies...>&);
template <class T>
std::integral_constant<argument, argument::view> kind_of(const view<T>&);
template <class T>
std::integral_constant<argument, argument::packed> kind_of(const packed<T>&);
template <class T>
compute_t<T> compute_type_of(const view<T>&);
template <class T>
compute_t<T> compute_type_of(const packed<T>&);

template <class A, class = void>
inline constexpr bool is_memory_v = std::is_pointer_v<A> || std::is_array_v<A>;
template <class A>
inline constexpr bool is_memory_v<A, std::void_t<element_of_container<const A&>>> = true;

template <class A, class = void>
inline constexpr argument argument_v =
    is_kv_source_v<A> ? argument::source
    : std::is_convertible_v<const A&, options<float>> || std::is_convertible_v<const A&, options<double>>
        ? argument::options
    : is_memory_v<A> ? argument::memory
    : is_policy_v<A> ? argument::definition
                     : argument::other;
template <class A>
inline constexpr argument argument_v<A, std::void_t<decltype(kind_of(std::declval<const A&>()))>> =
    decltype(kind_of(std::declval<const A&>()))::value;

/// Whether arguments are of these kinds, each a letter of "dvpsom"; a is anything.
template <class... Args>
constexpr bool are_arguments(const char* kinds)
{
    constexpr argument have[] = {argument_v<Args>...};
    for (const argument a : have) {
        const char want = *kinds;
        if (want == 0 || (want != 'a' && want != "dvpsom?"[static_cast<int>(a)])) return false;
        ++kinds;
    }
    return *kinds == 0;
}

/// Whether an overload of attend() takes these, if options are those of q.
template <class... Args>
constexpr bool are_arguments_of_attend()
{
    for (const char* kinds : {"vvvv", "avsv", "avsvo", "avvvv", "avvvvo", "apsv", "apsvo"})
        if (are_arguments<Args...>(kinds)) return true;
    return false;
}

/// Whether the last argument, where it is options, is that of the type that Q is computed in.
template <class Q, class Last, argument = argument_v<Last>>
inline constexpr bool has_own_options_v = true;
template <class Q, class Last>
inline constexpr bool has_own_options_v<Q, Last, argument::options> =
    std::is_convertible_v<const Last&, options<decltype(compute_type_of(std::declval<const Q&>()))>>;

/// Whether no overload of attend() takes these, though they are meant for it: a function of that name that is somebody
/// else's, and is called with an argument of ours, takes something else as well.
template <class Def, class Q, class... Rest>
constexpr bool are_wrong_arguments()
{
    constexpr bool are_ours = argument_v<Def> != argument::other && argument_v<Q> != argument::other &&
                              ((argument_v<Rest> != argument::other) && ...);
    if constexpr (!are_ours) return false;
    else if constexpr (!are_arguments_of_attend<Def, Q, Rest...>()) return true;
    else return !(has_own_options_v<Q, Rest> && ...);
}

/// The sentence for arguments that no overload of attend() takes.
template <class... Args>
struct wrong_arguments {
    static constexpr bool are_in_order = are_arguments_of_attend<Args...>(),
                          have_memory = ((argument_v<Args> == argument::memory) || ...);
    static_assert(!have_memory, "heed: attend takes views, of vectors, arrays and pointers too: "
                                "heed::bhsd(x, {batch, heads, tokens, dim}), bshd() or strided()");
    static_assert(have_memory || are_in_order,
                  "heed: attend takes (q, k, v, out), (definition, q, k, v, out, options) or (definition, q, kv, out, "
                  "options) with a kv source; options may be left out, and packed q goes with a source");
    static_assert(!are_in_order, "heed: options are of the type that q is computed in: heed::options<double> for "
                                 "double, heed::options<float> for any other");
};

}  // namespace detail
HEED_END
