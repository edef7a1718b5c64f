// SPDX-License-Identifier: MIT
// Workspace is a constant a worker, whatever the number of queries and keys; what is planned is all that a run touches,
// a million keys and sixteen thousand queries included.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

using namespace test;

namespace {

constexpr int64 million = 1 << 20;
#ifdef NDEBUG
constexpr int64 prompt = 16384;
#else
constexpr int64 prompt = 4096;  // sanitizers and -O0 take a hundred times as long
#endif

const heed::attention def{heed::softmax{}, heed::causal{}};

/// The concurrency of an executor, for plans that are not run.
struct workers {
    int n;
    int concurrency() const { return n; }
    void operator()(int64, heed::task_ref) const { FAIL("planned only"); }
};

struct sizes {
    int64 queries, keys, query_heads = 1, kv_heads = 1, dim = 128;
};

/// A plan looks at sizes only.
auto plan_for(const sizes& s, int n_workers)
{
    const workers executor{n_workers};
    const heed::view<const float> q = heed::bhsd<const float>(nullptr, {1, s.query_heads, s.queries, s.dim});
    const heed::view<const float> kv = heed::bhsd<const float>(nullptr, {1, s.kv_heads, s.keys, s.dim});
    const heed::plan plan(def, q, kv, kv, {.executor = executor});
    heed::or_throw(plan.status());
    return plan;
}

std::size_t lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// A workspace of exactly `bytes`, at an odd address, between canaries.
class fenced {
public:
    explicit fenced(std::size_t bytes) : memory_(bytes + 2 * fence, canary), bytes_(bytes) {}
    heed::workspace get() { return {memory_.data() + fence, bytes_}; }
    bool intact() const
    {
        const auto is_canary = [](std::byte b) { return b == canary; };
        return std::all_of(memory_.begin(), memory_.begin() + fence, is_canary) &&
               std::all_of(memory_.end() - fence, memory_.end(), is_canary);
    }

private:
    static constexpr std::ptrdiff_t fence = 4097;
    static constexpr std::byte canary{0xa5};
    std::vector<std::byte> memory_;
    std::size_t bytes_;
};

/// out, planned and run in exactly the planned workspace.
tensor<float> run_fenced(const heed::view<const float>& q, const heed::view<const float>& k,
                         const heed::view<const float>& v, int expected_stages, std::size_t expected_bytes,
                         heed::options<float> how = {})
{
    const heed::plan plan(def, q, k, v, how);
    heed::or_throw(plan.status());
    REQUIRE(plan.stages() == expected_stages);
    REQUIRE(plan.workspace_bytes() == expected_bytes);
    fenced scratch(plan.workspace_bytes());
    how.workspace = scratch.get();
    tensor<float> out({1, 1, q.size.tokens, v.size.dim}, -7);
    heed::or_throw(plan.run(q, k, v, out.view(), how));
    REQUIRE(scratch.intact());
    return out;
}

constexpr int64 dim = 8;

/// Every token's row is the same, in the memory of one.
heed::view<const float> repeated(const float (&row)[dim], int64 tokens)
{
    return heed::strided<const float>(row, {1, 1, tokens, dim}, {0, 0, 0});
}

/// Row j is numbers[j, j + dim): a sequence in the memory of its first channel. Small whole numbers, so that their sums
/// are exact.
struct sliding {
    std::vector<float> numbers;
    int64 tokens;

    explicit sliding(int64 n) : numbers(static_cast<std::size_t>(n + dim - 1)), tokens(n)
    {
        std::mt19937_64 random(3);
        for (float& x : numbers) x = static_cast<float>(random() % 16) - 8;
    }
    heed::view<const float> view() const
    {
        return heed::strided<const float>(numbers.data(), {1, 1, tokens, dim}, {0, 0, 1});
    }
    /// mean[i * dim + c]: of channel c over tokens [0, i], rounded once; i >= first.
    std::vector<float> means(int64 first) const
    {
        std::vector<float> mean;
        int64 sum[dim] = {};
        for (int64 i = 0; i < tokens; ++i)
            for (int64 c = 0; c < dim; ++c) {
                sum[c] += static_cast<int64>(numbers[static_cast<std::size_t>(i + c)]);
                if (i >= first) mean.push_back(static_cast<float>(sum[c]) / static_cast<float>(i + 1));
            }
        return mean;
    }
};

constexpr float zeros[dim] = {};
constexpr float some_row[dim] = {0.5f, -1.25f, 2, 0.75f, -0.1f, 1.3f, -3, 0.2f};

/// The largest error of `out` whose every row should be `row`, relative to each channel.
double largest_error(const tensor<float>& out, const float (&row)[dim])
{
    double worst = 0;
    for (int64 i = 0; i < out.size.tokens; ++i)
        for (int64 c = 0; c < dim; ++c)
            worst = std::max(worst, std::fabs(double{out.in().row(0, 0, i)[c]} / double{row[c]} - 1));
    return worst;
}

}  // namespace

TEST_CASE("a worker needs at most 2 MiB at head size 128, for any number of queries and keys")
{
    std::size_t most = 0;
    constexpr int64 block = heed::micro::query_block;
    for (const int64 queries : {int64{1}, int64{2}, int64{5}, int64{12}, int64{13}, int64{100}, block - 1, block,
                                block + 1, int64{1000}, int64{16384}, int64{1} << 20, int64{1} << 30})
        for (const int64 keys : {0, 1, 511, 512, 513, 4096, 1 << 20, 1 << 30})
            for (const int64 group : {1, 4, 7, 64}) {
                CAPTURE(queries, keys, group);
                const std::size_t bytes = plan_for({queries, keys, group, 1}, 1).workspace_bytes();
                REQUIRE(bytes <= std::size_t{2} << 20);
                most = std::max(most, bytes);
            }
    WARN("at most " << most << " bytes a worker, " << heed::isa_name());
}

TEST_CASE("without a split the workspace does not depend on the number of keys")
{
    for (const int n_workers : {1, 4})
        for (const int64 queries : {1, 7, 64, 500, 16384}) {
            CAPTURE(n_workers, queries);
            // Heads enough, that their blocks keep all workers busy.
            const auto few = plan_for({queries, 4096, 32, 32}, n_workers);
            const auto many = plan_for({queries, million, 32, 32}, n_workers);
            REQUIRE(few.stages() == 1);
            REQUIRE(many.stages() == 1);
            REQUIRE(few.workspace_bytes() == many.workspace_bytes());
            // 64 bytes to align what follows, then a constant a worker.
            REQUIRE(many.workspace_bytes() - 64 ==
                    static_cast<std::size_t>(n_workers) *
                        (plan_for({queries, million, 32, 32}, 1).workspace_bytes() - 64));
        }
}

TEST_CASE("with a split the workspace grows by the stored partials and nothing else")
{
    // A block of r rows and a key tile of 512 keys leave {M, l, o}: r + r + r * D floats, each array in whole cache
    // lines, and a byte that says whether any key was attended. No block here has more than one register block of rows.
    for (const int64 keys : {1024, 4096, 100000, 1 << 20})
        for (const int64 rows : {1, 4, 6})
            for (const int n_workers : {2, 8}) {
                CAPTURE(keys, rows, n_workers);
                const auto split = plan_for({1, keys, 2 * rows, 2}, n_workers);
                REQUIRE(split.stages() == 2);
                REQUIRE(split.tasks(1) == 2);  // blocks
                const auto partials = static_cast<std::size_t>(2 * ((keys + 511) / 512));
                const auto r = static_cast<std::size_t>(rows) * sizeof(float);
                REQUIRE(split.workspace_bytes() ==
                        64 +
                            static_cast<std::size_t>(n_workers) *
                                (plan_for({1, keys, 2 * rows, 2}, 1).workspace_bytes() - 64) +
                            partials * (lines(r) + lines(r) + lines(r * 128)) + lines(partials));
            }
}

TEST_CASE("decode over a million keys runs in the workspace of 4096, and gives the exact mean of a million values")
{
    const tensor<float> q = normal<float>({1, 1, 1, dim}, 1);
    const sliding v(million);
    const auto expected = v.means(million - 1);
    // Scores of 0: each weight is 1, and every sum is a whole number below 2^24.
    const auto k = repeated(zeros, million);
    const std::size_t bytes = plan_for({1, 4096, 1, 1, dim}, 1).workspace_bytes();
    REQUIRE(same_bits(run_fenced(q.in(), k, v.view(), 1, bytes).data, expected));

    heed::thread_pool pool(4);
    const std::size_t split = plan_for({1, million, 1, 1, dim}, 4).workspace_bytes();
    REQUIRE(same_bits(run_fenced(q.in(), k, v.view(), 2, split, {.executor = pool}).data, expected));
}

TEST_CASE("a million equal scores give the row of V that all keys share")
{
    const tensor<float> q = normal<float>({1, 1, 1, dim}, 1);
    const std::size_t bytes = plan_for({1, 4096, 1, 1, dim}, 1).workspace_bytes();
    const tensor<float> out = run_fenced(q.in(), repeated(some_row, million), repeated(some_row, million), 1, bytes);
    // Equal addends round the same way each time: the depth of the two sums, 512 keys of 2048 tiles, times an ulp / 2.
    REQUIRE(largest_error(out, some_row) <= (512 + 2048) * 0x1p-24 * 2);
}

TEST_CASE("causal prefill of a long prompt runs in the workspace of a short one, and gives the exact running means")
{
    constexpr int64 tokens = prompt;  // 16384 in Release
    const tensor<float> q = normal<float>({1, 1, tokens, dim}, 1);
    const sliding v(tokens);
    const std::size_t bytes = plan_for({tokens, 512, 1, 1, dim}, 1).workspace_bytes();
    REQUIRE(same_bits(run_fenced(q.in(), repeated(zeros, tokens), v.view(), 1, bytes).data, v.means(0)));

    heed::thread_pool pool(4);
    const std::size_t four = plan_for({tokens, 512, 1, 1, dim}, 4).workspace_bytes();
    const auto row = repeated(some_row, tokens);
    const tensor<float> out = run_fenced(q.in(), row, row, 1, four, {.executor = pool});
    REQUIRE(largest_error(out, some_row) <= (512 + 32) * 0x1p-24 * 2);
}
