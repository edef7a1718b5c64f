// SPDX-License-Identifier: MIT
// Eigen matrices, maps, refs and blocks as views: no copy, the layout as documented, the bits of plain pointers.
#if __has_include(<Eigen/Dense>)

#include "tensors.hpp"

#include <heed/adapt/eigen.hpp>

#include <Eigen/Dense>
#include <catch2/catch.hpp>

#include <string>
#include <type_traits>

using namespace test;
using Catch::Matchers::Contains;

namespace {

template <class T>
using by_rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using by_columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
template <class M>
using outer_ref = Eigen::Ref<M, 0, Eigen::OuterStride<>>;

/// One sequence of [heads, tokens, dim] at the pointer, with these steps.
template <class T>
void is_view(const heed::view<T>& v, const T* at, int64 heads, int64 tokens, int64 dim, int64 token_step)
{
    REQUIRE(v.data == at);
    REQUIRE(v.size.batch == 1);
    REQUIRE(v.size.heads == heads);
    REQUIRE(v.size.tokens == tokens);
    REQUIRE(v.size.dim == dim);
    REQUIRE(v.stride.heads == dim);  // heads lie side by side
    REQUIRE(v.stride.tokens == token_step);
}

/// Every element of the view is that of `at(token, channel)`, where head h holds channels [h * dim, (h + 1) * dim).
template <class T, class At>
void is_same_memory(const heed::view<T>& v, At at)
{
    for (int64 h = 0; h < v.size.heads; ++h)
        for (int64 s = 0; s < v.size.tokens; ++s)
            for (int64 c = 0; c < v.size.dim; ++c) REQUIRE(v.row(0, h, s) + c == &at(s, h * v.size.dim + c));
}

template <class T, class View>
constexpr bool views(const View&)
{
    return std::is_same_v<View, heed::view<T>>;
}

}  // namespace

TEST_CASE("a row-major matrix is [tokens, heads * dim]")
{
    by_rows<float> m(5, 12);
    is_view<float>(heed::eigen_view(m), m.data(), 1, 5, 12, 12);
    is_view<float>(heed::eigen_view(m, 3), m.data(), 3, 5, 4, 12);
    is_same_memory(heed::eigen_view(m, 3), [&](int64 s, int64 c) -> float& { return m(s, c); });
    Eigen::Matrix<double, 4, 6, Eigen::RowMajor> fixed;
    is_view<double>(heed::eigen_view(fixed, 2), fixed.data(), 2, 4, 3, 6);
}

TEST_CASE("a column-major matrix is [heads * dim, tokens]: its columns are the tokens")
{
    by_columns<float> m(12, 5);
    is_view<float>(heed::eigen_view(m), m.data(), 1, 5, 12, 12);
    is_view<float>(heed::eigen_view(m, 3), m.data(), 3, 5, 4, 12);
    is_same_memory(heed::eigen_view(m, 3), [&](int64 s, int64 c) -> float& { return m(c, s); });
    Eigen::VectorXf token(8);  // a column is one token
    is_view<float>(heed::eigen_view(token, 2), token.data(), 2, 1, 4, 8);
}

TEST_CASE("maps keep their pointer and their outer stride")
{
    std::vector<double> memory(200);
    Eigen::Map<by_rows<double>> dense(memory.data() + 3, 5, 12);
    is_view<double>(heed::eigen_view(dense, 4), memory.data() + 3, 4, 5, 3, 12);
    Eigen::Map<by_rows<double>, 0, Eigen::OuterStride<>> apart(memory.data() + 1, 5, 12, Eigen::OuterStride<>(37));
    is_view<double>(heed::eigen_view(apart, 2), memory.data() + 1, 2, 5, 6, 37);
    is_same_memory(heed::eigen_view(apart, 2), [&](int64 s, int64 c) -> double& { return apart(s, c); });
    Eigen::Map<by_columns<double>, 0, Eigen::OuterStride<19>> columns(memory.data(), 12, 5);
    is_view<double>(heed::eigen_view(columns, 2), memory.data(), 2, 5, 6, 19);
    is_same_memory(heed::eigen_view(columns, 2), [&](int64 s, int64 c) -> double& { return columns(c, s); });
}

TEST_CASE("a block keeps its place, and its constness")
{
    by_rows<float> m(7, 24);
    is_view<float>(heed::eigen_view(m.block(2, 8, 4, 6), 2), &m(2, 8), 2, 4, 3, 24);
    is_view<float>(heed::eigen_view(m.middleRows(1, 3)), &m(1, 0), 1, 3, 24, 24);
    by_columns<float> n(24, 7);
    is_view<float>(heed::eigen_view(n.middleCols(2, 3), 4), &n(0, 2), 4, 3, 6, 24);
    const by_rows<float>& fixed = m;
    is_view<const float>(heed::eigen_view(fixed.topRows(2)), &m(0, 0), 1, 2, 24, 24);
}

TEST_CASE("a Ref of a matrix, a map or a block keeps its place")
{
    by_rows<float> m(7, 24);
    const outer_ref<by_rows<float>> whole = m, block = m.block(2, 8, 4, 6), rows = m.middleRows(1, 3);
    is_view<float>(heed::eigen_view(whole, 2), m.data(), 2, 7, 12, 24);
    is_view<float>(heed::eigen_view(block, 2), &m(2, 8), 2, 4, 3, 24);
    is_same_memory(heed::eigen_view(block, 2), [&](int64 s, int64 c) -> float& { return m(2 + s, 8 + c); });
    is_view<float>(heed::eigen_view(rows), &m(1, 0), 1, 3, 24, 24);

    by_columns<float> n(24, 7);
    const Eigen::Ref<by_columns<float>> column_block = n.block(8, 2, 6, 4);
    is_view<float>(heed::eigen_view(column_block, 3), &n(8, 2), 3, 4, 2, 24);
    is_same_memory(heed::eigen_view(column_block, 3), [&](int64 s, int64 c) -> float& { return n(8 + c, 2 + s); });
    const outer_ref<by_rows<float>> turned = n.transpose();  // the same memory, read the other way round
    is_view<float>(heed::eigen_view(turned, 3), n.data(), 3, 7, 8, 24);

    Eigen::Map<by_rows<float>, 0, Eigen::OuterStride<>> map(m.data(), 3, 10, Eigen::OuterStride<>(24));
    const outer_ref<by_rows<float>> of_map = map;
    is_view<float>(heed::eigen_view(of_map, 5), m.data(), 5, 3, 2, 24);
}

TEST_CASE("what is const in Eigen is a view of const, and a map or Ref is as writable as its matrix type")
{
    by_rows<float> m(4, 8);
    const by_rows<float>& fixed = m;
    const float* p = m.data();
    Eigen::Map<const by_rows<float>> const_map(p, 4, 8);
    const Eigen::Map<by_rows<float>> map(m.data(), 4, 8);
    const outer_ref<const by_rows<float>> const_ref = m;
    const outer_ref<by_rows<float>> ref = m;
    REQUIRE(views<float>(heed::eigen_view(m)));
    REQUIRE(views<const float>(heed::eigen_view(fixed)));
    REQUIRE(views<const float>(heed::eigen_view(const_map)));
    REQUIRE(views<const float>(heed::eigen_view(const_ref)));
    REQUIRE(views<float>(heed::eigen_view(map)));  // the map is const, what it maps is not
    REQUIRE(views<float>(heed::eigen_view(ref)));
    is_view<const float>(heed::eigen_view(fixed, 2), p, 2, 4, 4, 8);
    is_view<const float>(heed::eigen_view(const_map, 2), p, 2, 4, 4, 8);
    is_view<const float>(heed::eigen_view(const_ref, 2), p, 2, 4, 4, 8);
}

TEMPLATE_TEST_CASE("attention of Eigen matrices has the bits of attention of plain pointers", "", float, double)
{
    using T = TestType;
    constexpr int64 heads = 4, kv_heads = 2, tokens = 70, dim = 24, value_dim = 10;
    constexpr int64 width = (heads + kv_heads) * dim + kv_heads * value_dim;
    // A packed projection [tokens, q | k | v], and the output as columns of a wider matrix.
    by_rows<T> packed(tokens, width);
    const auto numbers = normal<T>({1, 1, tokens, width}, 4);
    std::memcpy(packed.data(), numbers.data.data(), numbers.data.size() * sizeof(T));
    by_columns<T> wide = by_columns<T>::Constant(heads * value_dim + 6, tokens, T(-7));

    const outer_ref<by_rows<T>> q = packed.leftCols(heads * dim);
    const outer_ref<const by_rows<T>> k = packed.middleCols(heads * dim, kv_heads * dim);
    const Eigen::Map<const by_rows<T>, 0, Eigen::OuterStride<>> v(packed.data() + (heads + kv_heads) * dim, tokens,
                                                                  kv_heads * value_dim, Eigen::OuterStride<>(width));
    const Eigen::Ref<by_columns<T>> out = wide.middleRows(4, heads * value_dim);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    heed::or_throw(heed::attend(def, heed::eigen_view(q, heads), heed::eigen_view(k, kv_heads),
                                heed::eigen_view(v, kv_heads), heed::eigen_view(out, heads)));

    const T* p = numbers.data.data();
    tensor<T> expected({1, heads, tokens, value_dim});
    heed::or_throw(heed::attend(
        def, heed::strided(p, {1, heads, tokens, dim}, {0, dim, width}),
        heed::strided(p + heads * dim, {1, kv_heads, tokens, dim}, {0, dim, width}),
        heed::strided(p + (heads + kv_heads) * dim, {1, kv_heads, tokens, value_dim}, {0, value_dim, width}),
        expected.view()));
    for (int64 s = 0; s < tokens; ++s) {
        for (int64 h = 0; h < heads; ++h)
            REQUIRE(std::memcmp(&wide(4 + h * value_dim, s), expected.in().row(0, h, s), value_dim * sizeof(T)) == 0);
        for (const int64 beside : {int64{0}, int64{3}, 4 + heads * value_dim, 5 + heads * value_dim})
            REQUIRE(wide(beside, s) == T(-7));
    }
    REQUIRE(std::memcmp(packed.data(), p, numbers.data.size() * sizeof(T)) == 0);
}

TEST_CASE("a width that is no multiple of the heads is refused by the verbs")
{
    by_rows<float> q = by_rows<float>::Ones(3, 8), k = q, v = q, out = by_rows<float>::Constant(3, 8, 5);
    for (const int64 heads : {3, 0, -1}) {
        INFO(heads << " heads");
        REQUIRE(heed::eigen_view(q, heads).size.dim == 0);
        const heed::status s = heed::attend(heed::attention{}, heed::eigen_view(q, heads), heed::eigen_view(k, heads),
                                            heed::eigen_view(v, heads), heed::eigen_view(out, heads));
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains("q: batch 1, heads " + std::to_string(heads)));
    }
    REQUIRE(out == by_rows<float>::Constant(3, 8, 5));
}

#endif
