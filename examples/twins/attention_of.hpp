// SPDX-License-Identifier: MIT
// heed's attention behind the interface of attention.hpp: one class for every normalizer. `Make` builds the normalizer
// of a call from the logits of its heads.
#pragma once

#include "attention.hpp"

#include <heed/heed.hpp>

namespace twins {

template <class T, class Make>
class attention_of final : public attention<T> {
public:
    explicit attention_of(Make make) : make_(make) {}

    void forward(const attention_tensors<T>& t, const T* sinks) const override
    {
        const std::vector<float> logits = logits_of(t, sinks);
        heed::or_throw(heed::attend(definition(logits), t.q, t.k, t.v, t.out, {.stats = t.stats}));
    }

    void backward(const attention_tensors<T>& t, const T* sinks, const heed::view<const T>& dout,
                  const heed::gradients<T>& grads) const override
    {
        const std::vector<float> logits = logits_of(t, sinks);
        heed::or_throw(heed::backward(definition(logits), t.q, t.k, t.v, t.out, t.stats, dout, grads));
    }

    void observe(const attention_tensors<T>& t, const T* sinks, const heed::observations<T>& wanted) const override
    {
        const std::vector<float> logits = logits_of(t, sinks);
        heed::or_throw(heed::observe(definition(logits), t.q, t.k, t.stats, wanted));
    }

    void map(const attention_tensors<T>& t, const T* sinks, int64 head, T* weights) const override
    {
        const std::vector<float> logits = logits_of(t, sinks);
        const heed::map_part all_rows{0, head, 0, t.q.size.tokens};
        heed::or_throw(heed::attention_map(definition(logits), t.q, t.k, t.stats, all_rows, weights));
    }

private:
    auto definition(const std::vector<float>& logits) const
    {
        return heed::attention{make_(logits.data(), static_cast<int64>(logits.size())), heed::causal{}};
    }
    static std::vector<float> logits_of(const attention_tensors<T>& t, const T* sinks)
    {
        std::vector<float> logits(static_cast<std::size_t>(t.q.size.heads));
        if (sinks)
            for (std::size_t h = 0; h < logits.size(); ++h) logits[h] = static_cast<float>(sinks[h]);
        return logits;
    }

    Make make_;
};

/// softmax, softmax1 and sink are one normalizer, compiled once: the sink's logit is -inf, 0 or learned.
struct make_sink {
    enum class logit { none, zero, learned } kind;

    heed::softmax_sink operator()(const float* logits, int64 heads) const
    {
        static const std::vector<float> none(1024, -std::numeric_limits<float>::infinity()), zero(1024, 0.0f);
        return {kind == logit::learned ? logits : kind == logit::zero ? zero.data() : none.data(), heads};
    }
};

/// A normalizer whose parameters are known beforehand.
template <class Normalizer>
struct make_fixed {
    Normalizer normalizer;

    Normalizer operator()(const float*, int64) const { return normalizer; }
};

}  // namespace twins
