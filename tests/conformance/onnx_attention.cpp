// SPDX-License-Identifier: MIT
// The ONNX Attention conformance suite. heed::attend gives Y, in float; the matrices of qk_matmul_output are those of
// heed::reference. Float32 outputs agree to 4 * 2^-24 * max|Y|, float16 outputs to one of their neighbours.
#include "onnx_case.hpp"

#include "../skip.hpp"
#include "../tensors.hpp"

#include <heed/reference.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>

namespace {

using onnx::int64;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// A 3-D input is [B, S, H * D], a 4-D one [B, H, S, D].
template <class T>
heed::view<T> viewed(T* data, const std::vector<int64>& dims, int64 heads)
{
    if (dims.size() == 4) return heed::bhsd(data, {dims[0], dims[1], dims[2], dims[3]});
    return heed::bshd(data, {dims[0], heads, dims[1], dims[2] / heads});
}

/// past and new tokens of a cache, as one dense [B, H, S, D] tensor.
test::tensor<float> joined(const onnx::tensor* past, heed::view<const float> fresh)
{
    heed::extents size = fresh.size;
    const int64 old = past ? past->dims[2] : 0;
    size.tokens += old;
    test::tensor<float> all(size);
    const auto to = all.view();
    for (int64 b = 0; b < size.batch; ++b)
        for (int64 h = 0; h < size.heads; ++h)
            for (int64 t = 0; t < size.tokens; ++t) {
                const float* from =
                    t < old ? heed::bhsd(past->values.data(), {size.batch, size.heads, old, size.dim}).row(b, h, t)
                            : fresh.row(b, h, t - old);
                std::copy(from, from + size.dim, to.row(b, h, t));
            }
    return all;
}

/// A mask of any rank, aligned on the right with [B, Hq, Sq, Skv]; missing columns hold `pad`.
template <class E>
struct mask_table {
    heed::extents size;
    std::unique_ptr<E[]> data;

    mask_table(const onnx::tensor* mask, int64 keys, E nothing, E pad) : size{1, 1, 1, keys}
    {
        std::vector<int64> dims = mask ? mask->dims : std::vector<int64>{0};
        dims.insert(dims.begin(), 4 - dims.size(), 1);
        if (mask) size = {dims[0], dims[1], dims[2], keys};
        const int64 rows = size.batch * size.heads * size.tokens;
        data = std::make_unique<E[]>(static_cast<std::size_t>(rows * keys));
        for (int64 r = 0; r < rows; ++r)
            for (int64 j = 0; j < keys; ++j)
                data[static_cast<std::size_t>(r * keys + j)] =
                    !mask         ? nothing
                    : j < dims[3] ? static_cast<E>(mask->values[static_cast<std::size_t>(r * dims[3] + j)])
                                  : pad;
    }
    heed::view<const E> view() const { return heed::bhsd(static_cast<const E*>(data.get()), size); }
};

/// What a case computes, in the terms of heed.
struct question {
    int64 query_heads, kv_heads;
    heed::view<const float> q;
    test::tensor<float> k, v;
    mask_table<float> added;
    mask_table<bool> allowed;
    std::vector<int64> lengths, offsets;
    bool causal;
    heed::window window;
    double scale, softcap;

    explicit question(const onnx::test_case& c)
        : query_heads(heads_of(c, 0, "q_num_heads")), kv_heads(heads_of(c, 1, "kv_num_heads")),
          q(viewed(c.input(0)->values.data(), c.input(0)->dims, query_heads)),
          k(joined(c.input(4), viewed(c.input(1)->values.data(), c.input(1)->dims, kv_heads))),
          v(joined(c.input(5), viewed(c.input(2)->values.data(), c.input(2)->dims, kv_heads))),
          added(mask_of(c, false), k.size.tokens, 0, -infinity), allowed(mask_of(c, true), k.size.tokens, true, false),
          causal(c.number("is_causal", 0) != 0), scale(1 / std::sqrt(static_cast<double>(k.size.dim))), softcap(0)
    {
        for (int64 b = 0; b < q.size.batch; ++b) {
            const onnx::tensor* nonpad = c.input(6);
            const int64 length = nonpad ? nonpad->integers[static_cast<std::size_t>(b)] : k.size.tokens;
            lengths.push_back(length);
            offsets.push_back(nonpad ? length - q.size.tokens : c.input(4) ? c.input(4)->dims[2] : 0);
        }
        const int64 left = c.number("left_window_size", -1), right = c.number("right_window_size", -1);
        window = {left < 0 ? heed::unbounded : left, right < 0 ? heed::unbounded : right};
        if (c.has("scale")) scale = c.attributes.at("scale");
        if (c.has("softcap")) softcap = c.attributes.at("softcap");
    }

    /// Calls f with the definition; the added mask may be left out, to see the scores before it.
    template <class F>
    void with_definition(F f, bool with_added = true) const
    {
        const heed::softmax normalizer{};
        const heed::bias bias(added.view());
        const auto batch = static_cast<int64>(lengths.size());
        const heed::query_offset offset(offsets.data(), batch);
        const auto mask = (heed::causal{} | heed::prefix{causal ? 0 : k.size.tokens}) & window &
                          heed::key_lengths{lengths.data(), batch} & heed::dense_mask{allowed.view()};
        const heed::scale factor{scale};
        if (softcap > 0 && with_added)
            f(heed::attention{normalizer, factor, heed::softcap{softcap}, bias, mask, offset});
        else if (softcap > 0) f(heed::attention{normalizer, factor, heed::softcap{softcap}, mask, offset});
        else if (with_added) f(heed::attention{normalizer, factor, bias, mask, offset});
        else f(heed::attention{normalizer, factor, mask, offset});
    }

    /// The matrix [B, Hq, Sq, Skv] of qk_matmul_output_mode 0 to 3.
    std::vector<double> matrix(int64 mode) const
    {
        std::vector<double> m(static_cast<std::size_t>(q.size.batch * q.size.heads * q.size.tokens * k.size.tokens));
        heed::reference_dump<double> dump;
        (mode == 0 ? dump.scaled : mode == 1 ? dump.mapped : mode == 2 ? dump.masked : dump.weights) = m.data();
        test::tensor<double> out({q.size.batch, q.size.heads, q.size.tokens, v.size.dim});
        with_definition(
            [&](const auto& def) { heed::or_throw(heed::reference(def, q, k.in(), v.in(), out.view(), &dump)); },
            mode != 1);
        return m;
    }

private:
    static int64 heads_of(const onnx::test_case& c, int slot, const char* attribute)
    {
        return c.input(slot)->dims.size() == 4 ? c.input(slot)->dims[1] : c.number(attribute, 0);
    }
    static const onnx::tensor* mask_of(const onnx::test_case& c, bool boolean)
    {
        const onnx::tensor* mask = c.input(3);
        return mask && (mask->type == "bool") == boolean ? mask : nullptr;
    }
};

/// "" where the values are those of the suite, or the first that is not.
template <class T>
std::string difference(const char* what, const onnx::tensor& expected, const std::vector<T>& got)
{
    double largest = 0;
    for (const float y : expected.values)
        if (std::isfinite(y)) largest = std::max(largest, std::fabs(static_cast<double>(y)));
    if (got.size() != expected.values.size()) return std::string(what) + ": sizes differ";
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double y = static_cast<double>(expected.values[i]), x = static_cast<double>(got[i]);
        const double error = expected.is_half() ? std::fabs(onnx::rounded_to_half(x) - y) : std::fabs(x - y);
        const double allowed = expected.is_half() ? onnx::half_ulp(y) : 4 * std::ldexp(largest, -24);
        if (x == y || error <= allowed) continue;
        std::ostringstream text;
        text.precision(9);
        text << what << '[' << i << "] is " << x << ", expected " << y << ", tolerance " << allowed;
        return text.str();
    }
    return {};
}

/// "" where every output of the case is right.
std::string judged(const onnx::test_case& c)
{
    const question ask(c);
    std::vector<float> y(c.output(0)->values.size(), -7.f);
    heed::status status;
    ask.with_definition([&](const auto& def) {
        status = heed::attend(def, ask.q, ask.k.in(), ask.v.in(), viewed(y.data(), c.output(0)->dims, ask.query_heads));
    });
    if (!status) return status.message();
    std::string text = difference("Y", *c.output(0), y);
    if (c.output(1) && text.empty()) text = difference("present_key", *c.output(1), ask.k.data);
    if (c.output(2) && text.empty()) text = difference("present_value", *c.output(2), ask.v.data);
    if (c.output(3) && text.empty())
        text = difference("qk_matmul_output", *c.output(3), ask.matrix(c.number("qk_matmul_output_mode", 0)));
    return text;
}

}  // namespace

TEST_CASE("the ONNX Attention suite passes", "[onnx]")
{
    const std::string folder = HEED_TEST_DATA "/onnx_attention";
    if (!test::has_data(folder)) return;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".txt") files.push_back(entry.path());
    std::sort(files.begin(), files.end());

    std::size_t passed = 0;
    for (auto file : files) {
        const onnx::test_case c = onnx::read_case(file.replace_extension("").string());
        INFO(c.name);
        const std::string wrong = judged(c);
        CHECK(wrong == "");
        passed += wrong.empty();
    }
    std::cout << "ONNX Attention: " << passed << " of " << files.size() << " cases pass\n";
    CHECK(files.size() == 55);
    CHECK(passed == files.size());
}

TEST_CASE("float16 numbers widen and round as IEEE says", "[onnx]")
{
    CHECK(onnx::widened(0x3c00) == 1.f);
    CHECK(onnx::widened(0xc500) == -5.f);
    CHECK(onnx::widened(0x0001) == 0x1p-24f);
    CHECK(onnx::widened(0x7bff) == 65504.f);
    CHECK(onnx::widened(0xfc00) == -infinity);
    CHECK(onnx::rounded_to_half(1 + 0x1p-11) == 1);
    CHECK(onnx::rounded_to_half(1 + 0x3p-11) == 1 + 0x1p-9);
    CHECK(onnx::rounded_to_half(0x1.8p-25) == 0x1p-24);
    CHECK(onnx::rounded_to_half(0) == 0);
}
