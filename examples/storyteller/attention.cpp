// SPDX-License-Identifier: MIT
// The normalizers by name, and which kernels there are for them.
#include "softmaxes.hpp"

#include "../guide/recipes.hpp"

namespace llama2c {
namespace {

constexpr const char* normalizer_names[] = {"softmax", "softmax1", "softmax_sink", "sink",         "softpick",
                                            "sigmoid", "relu1",    "relu2",        "relu-softmax", "rectified-only"};
enum class normalizer {
    softmax,
    softmax1,
    softmax_sink,
    sink,
    softpick,
    sigmoid,
    relu1,
    relu2,
    relu_softmax,
    rectified_only
};

normalizer normalizer_named(const std::string& name)
{
    return one_of<normalizer>("normalizer", name, normalizer_names);
}

/// Those that have chosen keys and other products than floats.
const std::string softmaxes = "softmax, softmax1, softmax_sink and sink";

std::string why_no_products(const std::string& name, const attention_form& form)
{
    const std::string option = std::string("--products ") + name_of(form.multiply) + ": ", as = name_of(form.as);
    if (form.multiply == products::floats) return "";
    if (form.multiply == products::bf16) {
        if (form.as != element::bf16) return option + "multiplies a cache of bf16, not of " + as;
        if (!heed::simd::has_bf16_dots)
            return option + "this build, for " + heed::isa_name() + ", has no dot products of bf16";
    } else if (form.as != element::int8 && form.as != element::q8_0 && form.as != element::q4_0) {
        return option + "multiplies caches of int8, q8_0 and q4_0, not of " + as;
    }
    if (normalizer_named(name) > normalizer::sink) return option + "is there for " + softmaxes + ", not for " + name;
    return "";
}

std::string why_no_choice(const std::string& name, const attention_form& form)
{
    if (form.select == 0) return "";
    if (form.multiply != products::floats)
        return std::string("--select: has products of floats, not --products ") + name_of(form.multiply);
    if (form.as != element::f32 && form.as != element::q8_0)
        return std::string("--select: chooses among keys of f32 and q8_0, not of ") + name_of(form.as);
    if (normalizer_named(name) > normalizer::sink) return "--select: is there for " + softmaxes + ", not for " + name;
    return "";
}

template <class Normalizer>
std::unique_ptr<cached_attention> over_pages(parts<Normalizer> of)
{
    switch (of.form.as) {
    case element::f32: return attention_over_pages<float>(std::move(of));
    case element::bf16: return attention_over_pages<heed::bf16>(std::move(of));
    case element::f16: return attention_over_pages<heed::f16>(std::move(of));
    case element::int8: return attention_over_pages<std::int8_t>(std::move(of));
    case element::fp8: return attention_over_pages<heed::fp8_e4m3>(std::move(of));
    case element::q8_0: return attention_over_pages<heed::q8_0>(std::move(of));
    case element::q5_1: return attention_over_pages<heed::q5_1>(std::move(of));
    case element::q5_0: return attention_over_pages<heed::q5_0>(std::move(of));
    case element::q4_1: return attention_over_pages<heed::q4_1>(std::move(of));
    case element::q4_0: return attention_over_pages<heed::q4_0>(std::move(of));
    case element::iq4_nl: return attention_over_pages<heed::iq4_nl>(std::move(of));
    case element::mxfp4: break;
    }
    return attention_over_pages<heed::mxfp4>(std::move(of));
}

/// With products of whole numbers, where why_no_products() is silent.
template <class Products>
std::unique_ptr<cached_attention> by_integers(parts<heed::softmax_sink> of)
{
    if (of.form.as == element::int8) return attention_by<std::int8_t, Products>(std::move(of));
    if (of.form.as == element::q8_0) return attention_by<heed::q8_0, Products>(std::move(of));
    return attention_by<heed::q4_0, Products>(std::move(of));
}

/// Contiguous where pages are not asked for and floats are kept.
template <class Normalizer>
std::unique_ptr<cached_attention> over_any_cache(parts<Normalizer> of)
{
    if (of.form.as != element::f32 || of.form.page > 0) return over_pages(std::move(of));
    return std::make_unique<attention_of<Normalizer, contiguous_cache, all_keys>>(std::move(of));
}

std::unique_ptr<cached_attention> with_softmax(parts<heed::softmax_sink> of)
{
    if (of.form.select > 0)
        return of.form.as == element::f32 ? attention_to_chosen<float>(std::move(of))
                                          : attention_to_chosen<heed::q8_0>(std::move(of));
    switch (of.form.multiply) {
    case products::bf16: return attention_by<heed::bf16, heed::compute<heed::bf16>>(std::move(of));
    case products::int8: return by_integers<heed::compute<std::int8_t>>(std::move(of));
    case products::int8_by8: return by_integers<heed::compute<std::int8_t, 8>>(std::move(of));
    case products::floats: break;
    }
    return over_any_cache(std::move(of));
}

}  // namespace

std::string why_not(const std::string& name, const attention_form& form)
{
    if (normalizer_named(name) > normalizer::softpick && (form.page > 0 || form.as != element::f32))
        return (form.page > 0 ? "--page: " : "--cache: ") + name +
               " has caches of f32 without pages; softmax, softmax1, softmax_sink, sink and softpick have all";
    const std::string why = why_no_products(name, form);
    return why.empty() ? why_no_choice(name, form) : why;
}

std::unique_ptr<cached_attention> make_attention(const std::string& name, const sidecar& beside, const config& c,
                                                 const attention_form& form, heed::executor_ref executor)
{
    if (const std::string why = why_not(name, form); !why.empty()) throw input_error(why);
    const auto contiguous = [&](auto with) -> std::unique_ptr<cached_attention> {
        using one = attention_of<decltype(with), contiguous_cache, all_keys>;
        return std::make_unique<one>(parts<decltype(with)>{c, {{with}}, form, executor});
    };
    switch (normalizer_named(name)) {
    case normalizer::softmax:
    case normalizer::softmax1:
    case normalizer::softmax_sink:
    case normalizer::sink: return with_softmax({c, softmax_named(name, beside, c), form, executor});
    case normalizer::softpick: return over_any_cache(parts<heed::softpick>{c, {{{}}}, form, executor});
    case normalizer::sigmoid: return contiguous(heed::sigmoid{beside.bias});
    case normalizer::relu1: return contiguous(heed::relu<1>{});
    case normalizer::relu2: return contiguous(heed::relu<2>{});
    case normalizer::relu_softmax: return contiguous(recipe::relu_softmax{});
    case normalizer::rectified_only: break;
    }
    return contiguous(recipe::rectified_only{});
}

}  // namespace llama2c
