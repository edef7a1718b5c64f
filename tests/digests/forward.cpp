// SPDX-License-Identifier: MIT
// attend() and its partial states: normalizers, score maps, masks and element types, in prefill and decode.
#include "digests.hpp"

namespace digests {
namespace {

template <class O, class Def, class In>
void add_shape(sink& to, const std::string& name, const Def& def, const In& in)
{
    using T = heed::compute_t<O>;
    tensor<O> out(in.out_size());
    std::vector<T> shift(in.rows()), mass(in.rows());
    const heed::status s =
        heed::attend(def, in.q.in(), in.k.in(), in.v.in(), out.view(), {.stats = {shift.data(), mass.data(), nullptr}});
    if (s.code() == heed::errc::unsupported) return to.skip(name, s.message());
    heed::or_throw(s);
    to.give(name, hash().add(out.data).add(shift).add(mass));
}

/// Prefill of 70 rows and decode of one, over keys of two tiles and a piece.
template <class Q, class K = Q, class V = K, class O = Q, class Def>
void add(sink& to, const std::string& name, const Def& def)
{
    add_shape<O>(to, name + ", prefill", def, inputs<Q, K, V>(2, 8, 2, 70, 1100, 40, 24));
    add_shape<O>(to, name + ", decode", def, inputs<Q, K, V>(1, 8, 2, 1, 1100, 64, 64));
}

}  // namespace

void forward(sink& to)
{
    const float logits[] = {0.5f, -1, 2, 0, 1, -3, 4, 0.25f}, slopes[] = {0.5f, 0.25f, 0.125f, 1, 0.5f, 2, 0.75f, 0};
    const int64 cuts[] = {0, 300, 640, 1100};
    using heed::attention, heed::causal;
    add<float>(to, "softmax", attention{heed::softmax{}});
    add<float>(to, "softmax1, causal", attention{heed::softmax1{}, causal{}});
    add<float>(to, "softmax_sink, window", attention{heed::softmax_sink{logits, 8}, heed::window{.left = 600}});
    add<float>(to, "softpick", attention{heed::softpick{}});
    add<float>(to, "softpick eps, documents", attention{heed::softpick{1e-3}, heed::document{cuts, 4}});
    add<float>(to, "sigmoid, causal", attention{heed::sigmoid{-3}, causal{}});
    add<float>(to, "relu<2>", attention{heed::relu<2>{}});
    add<float>(to, "softmax, softcap, alibi", attention{heed::softmax{}, heed::softcap{20}, heed::alibi{slopes, 8}});
    add<float>(to, "stick_breaking, causal", attention{heed::stick_breaking{}, causal{}});
    add<float>(to, "stick_breaking, alibi", attention{heed::stick_breaking{}, heed::alibi{slopes, 8}});
    add<double>(to, "softmax of double, causal", attention{heed::softmax{}, causal{}});
    add<double>(to, "softpick of double", attention{heed::softpick{}});
    add<double>(to, "stick_breaking of double, window", attention{heed::stick_breaking{}, heed::window{.left = 600}});
    add<heed::bf16>(to, "softpick of bf16, causal", attention{heed::softpick{}, causal{}});
    add<heed::f16, heed::f16, heed::bf16, float>(to, "softmax of f16 and bf16", attention{heed::softmax{}});
    // ARM's dot products of bf16 round in another way than x86's, and have digests of their own.
    constexpr bool is_arm = heed::simd::arch::rounds_dots_to_odd<heed::simd::native_arch>;
    const std::string x86 = "softmax, compute<bf16>", arm = "softmax, compute<bf16> by BFDOT";
    add<heed::bf16>(to, is_arm ? arm : x86, attention{heed::softmax{}, heed::compute<heed::bf16>{}});
    for (const char* shape : {", prefill", ", decode"}) to.skip((is_arm ? x86 : arm) + shape, "of another machine");

    // two parts of the keys in one state, merged with a third
    const attention def{heed::softpick{}, causal{}};
    const inputs<float> in(1, 4, 2, 20, 1500, 32, 32);
    test::owned_state<float> first(def, in.out_size()), second(def, in.out_size());
    const auto fold = [&](test::owned_state<float>& into, int64 from, int64 end) {
        heed::or_throw(heed::attend_partial(def, in.q.in(), test::tokens(in.k.in(), from, end - from),
                                            test::tokens(in.v.in(), from, end - from), into.state(), {from, 1500}));
    };
    fold(first, 0, 512);
    fold(first, 512, 700);
    fold(second, 700, 1500);
    heed::or_throw(heed::merge(first.state(), second.state()));
    tensor<float> out(in.out_size());
    heed::or_throw(heed::finish(def, first.state(), out.view()));
    to.give("partial states, merged and finished",
            hash().add(first.shift).add(first.mass).add(first.out).add(out.data));
}

}  // namespace digests
