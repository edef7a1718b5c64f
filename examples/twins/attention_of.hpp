// SPDX-License-Identifier: MIT
// heed's attention behind the interface of attention.hpp: one class for every normalizer. `Make` gives the policies of
// a call, a normalizer and score maps, for `const heads&`.
#pragma once

#include "normalizers.hpp"

#include <heed/heed.hpp>

#include <tuple>

namespace twins {

template <class T, class Make>
class attention_of final : public attention<T> {
    template <class Policy>
    static std::tuple<Policy> as_tuple(Policy p)
    {
        return {p};
    }
    template <class... Policies>
    static std::tuple<Policies...> as_tuple(std::tuple<Policies...> p)
    {
        return p;
    }
    template <class... Tables>
    static auto definition(const Make& make, const heads& h, Tables... tables)
    {
        return std::apply(
            [&](const auto&... p) {
                return heed::attention{p..., heed::causal{}, tables...};
            },
            as_tuple(make(h)));
    }

    using plain = decltype(definition(std::declval<const Make&>(), heads{}));
    using of_rows = typename plain::normalizer_type;
    static constexpr bool is_map_learned = plain::template parameters<heed::parameter::per_head> > 0;
    static_assert(plain::template parameters<heed::parameter::per_score> == 0,
                  "twins: a score map may learn a number a head, but not one a score");

public:
    /// Whether there is a number a head that backward() has a gradient in: a score map's, or else the log offset.
    static constexpr bool has_parameter = is_map_learned || heed::has_log_offset_v<of_rows>;

    attention_of(Make make, int64 context) : make_(std::move(make)), context_(context) {}

    bool has_threshold() const override { return heed::has_threshold_v<of_rows>; }

    void forward(const attention_tensors<T>& t, const T* learned) const override
    {
        const std::vector<float> numbers = numbers_of(t, learned);
        const auto attend = [&](const auto&... table) {
            return heed::attend(of(numbers, table...), t.q, t.k, t.v, t.out, {.stats = t.stats});
        };
        if constexpr (heed::needs_slope_out_v<of_rows>)
            heed::or_throw(attend(heed::keep_thresholds<T>{t.thresholds, t.slope_out}));
        else if constexpr (heed::has_threshold_v<of_rows>)
            heed::or_throw(attend(heed::keep_thresholds<T>{t.thresholds}));
        else heed::or_throw(attend());
    }

    void backward(const attention_tensors<T>& t, const T* learned, const heed::view<const T>& dout,
                  heed::gradients<T> grads, T* dlearned) const override
    {
        const std::vector<float> numbers = numbers_of(t, learned);
        if (is_map_learned) grads.dslopes = dlearned;
        else grads.dlog_offset = dlearned;
        heed::or_throw(heed::backward(known(t, numbers), t.q, t.k, t.v, t.out, t.stats, dout, grads));
    }

    void observe(const attention_tensors<T>& t, const T* learned, const heed::observations<T>& wanted) const override
    {
        const std::vector<float> numbers = numbers_of(t, learned);
        heed::or_throw(heed::observe(known(t, numbers), t.q, t.k, t.stats, wanted));
    }

    void map(const attention_tensors<T>& t, const T* learned, int64 head, T* weights) const override
    {
        const std::vector<float> numbers = numbers_of(t, learned);
        const heed::map_part all_rows{0, head, 0, t.q.size.tokens};
        heed::or_throw(heed::attention_map(known(t, numbers), t.q, t.k, t.stats, all_rows, weights));
    }

private:
    template <class... Tables>
    auto of(const std::vector<float>& numbers, Tables... tables) const
    {
        return definition(make_, {context_, numbers.data(), static_cast<int64>(numbers.size())}, tables...);
    }

    /// With the thresholds that forward() left, where there are any.
    auto known(const attention_tensors<T>& t, const std::vector<float>& numbers) const
    {
        if constexpr (heed::has_threshold_v<of_rows>)
            return of(numbers, heed::known_thresholds<T>{t.thresholds, heed::view<const T>(t.slope_out)});
        else return of(numbers);
    }

    static std::vector<float> numbers_of(const attention_tensors<T>& t, const T* learned)
    {
        std::vector<float> numbers(static_cast<std::size_t>(t.q.size.heads));
        if (learned)
            for (std::size_t h = 0; h < numbers.size(); ++h) numbers[h] = static_cast<float>(learned[h]);
        return numbers;
    }

    Make make_;
    int64 context_;
};

}  // namespace twins
