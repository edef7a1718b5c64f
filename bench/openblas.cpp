// SPDX-License-Identifier: MIT
// The blocked algorithm that PyTorch's CPU kernel uses (FlashAttention on a GEMM library): a block of 128 or 256 query
// rows meets key blocks of 512, each a GEMM, a vectorised exp with a running maximum, and a GEMM. Key blocks that no
// row of the block attends are not computed. bf16 and f16 blocks are widened for the GEMM. In decode, and for a few
// rows a kv head, the rows of the whole group make one block, and where there are fewer blocks than threads the keys
// are split. (PyTorch's blocks of 32 rows below 192, and of 64 below 768, are 10 to 30 % slower here.)
//
//     m' = max(m, max_j s_j)    l' = e^(m - m') l + sum_j e^(s_j - m')    o' = e^(m - m') o + sum_j e^(s_j - m') v_j
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/engine/simd/exp.hpp>
#include <heed/executor/threads.hpp>

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace bench {
namespace {

using vector = heed::simd::vec<float>;
constexpr std::int64_t key_block = 512, rows_as_one_block = 32;
constexpr std::int64_t rows_as_vectors = 8;  // up to here GEMV a row is up to 1.3 times faster than GEMM (Zen 3)
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// f(v, i, n) for the n <= lanes numbers v from p[i] on, to the end; v is 0 behind the last.
template <class F>
void for_vectors(const float* p, std::int64_t size, F f)
{
    constexpr int lanes = vector::lanes;
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes) f(heed::simd::load(p + i), i, lanes);
    if (i < size) f(heed::simd::load_n(p + i, static_cast<int>(size - i)), i, static_cast<int>(size - i));
}

float largest_of(const float* p, std::int64_t size)
{
    vector most(minus_infinity);
    float rest = minus_infinity;
    for_vectors(p, size, [&](vector v, std::int64_t i, int n) {
        if (n == vector::lanes) most = heed::max(most, v);
        else rest = *std::max_element(p + i, p + size);
    });
    return std::max(rest, heed::simd::largest(most));
}

/// x = e^(x - top); returns the sum.
float exponentiate(float* p, std::int64_t size, float top)
{
    vector sum(0);
    float rest = 0;
    for_vectors(p, size, [&](vector v, std::int64_t i, int n) {
        const vector e = heed::exp(v - vector(top));
        heed::simd::store_n(p + i, e, n);
        if (n == vector::lanes) sum = sum + e;
        else
            for (std::int64_t j = i; j < size; ++j) rest += p[j];
    });
    return rest + heed::simd::sum_by_halves(sum);
}

void multiply(float* p, std::int64_t size, float by)
{
    for_vectors(p, size, [&](vector v, std::int64_t i, int n) { heed::simd::store_n(p + i, v * vector(by), n); });
}

/// Rows of floats, `stride` apart.
struct matrix {
    const float* data;
    std::int64_t stride;
};

/// Rows from elements of E: the same memory for float, widened into `to` for others.
template <class E>
matrix widened(const E* from, std::int64_t rows, std::int64_t dim, std::int64_t step,
               [[maybe_unused]] std::vector<float>& to)
{
    if constexpr (std::is_same_v<E, float>) {
        return {from, step};
    } else {
        to.resize(std::max(static_cast<std::size_t>(rows * dim), to.size()));
        const bool in_one = step == dim;
        const std::int64_t pieces = in_one ? 1 : rows, size = in_one ? rows * dim : dim;
        for (std::int64_t row = 0; row < pieces; ++row) {
            const E* const x = from + row * step;
            float* const y = to.data() + row * dim;
            std::int64_t i = 0;
            for (; i + vector::lanes <= size; i += vector::lanes)
                heed::simd::store(y + i, heed::simd::load_as<float>(x + i));
            for (; i < size; ++i) y[i] = static_cast<float>(x[i]);
        }
        return {to.data(), dim};
    }
}

/// Rows of a block so far: maximum, sum of weights, unnormalised output.
struct partial {
    std::vector<float> top, sum, out;
};

template <class E>
class blocked {
public:
    explicit blocked(const bench_case& of)
        : c(of), in_(inputs_of<E>(of)), out_(of.batch * of.query_heads * of.queries * of.value_dim), pool_(of.threads),
          scratch_(static_cast<std::size_t>(of.threads))
    {
        const bool together = c.phase == "decode" || c.group() * c.queries <= rows_as_one_block;
        rows_ = together ? c.group() * c.queries : c.queries;
        block_rows_ = std::min<std::int64_t>(rows_, together || rows_ >= 1536 ? 256 : 128);
        blocks_ = heed::ceil_div(rows_, block_rows_);
        stacks_ = c.batch * c.query_heads * c.queries / rows_;
        // Splitting the keys where blocks do not keep all threads busy.
        splits_ = std::min(heed::ceil_div(c.threads, stacks_ * blocks_), heed::ceil_div(c.keys, key_block));
        parts_.resize(static_cast<std::size_t>(splits_ > 1 ? stacks_ * blocks_ * splits_ : c.threads));
    }

    void run()
    {
        const auto task = [this](std::int64_t t, int worker) {
            partial& p = parts_[static_cast<std::size_t>(splits_ > 1 ? t : worker)];
            attend(t / splits_, t % splits_, p, scratch_[static_cast<std::size_t>(worker)]);
            if (splits_ == 1) finish(t, p);
        };
        const std::int64_t tasks = stacks_ * blocks_ * splits_;
        if (c.threads > 1) pool_(tasks, task);
        else heed::serial_executor{}(tasks, task);
        for (std::int64_t b = 0; splits_ > 1 && b < stacks_ * blocks_; ++b) {
            partial& first = parts_[static_cast<std::size_t>(b * splits_)];
            for (std::int64_t s = 1; s < splits_; ++s) merge(first, parts_[static_cast<std::size_t>(b * splits_ + s)]);
            finish(b, first);
        }
    }

    std::vector<float> output() const { return {out_.get(), out_.get() + out_.size()}; }

    std::string describe() const
    {
        return "OpenBLAS: blocks of " + std::to_string(block_rows_) + " rows x " + std::to_string(key_block) +
               " keys, GEMM, exp, GEMM" + (splits_ > 1 ? ", keys split in " + std::to_string(splits_) : "");
    }

private:
    struct memory {
        std::vector<float> scores, q, kv;
    };
    static int int_of(std::int64_t n) { return static_cast<int>(n); }
    std::int64_t rows_of(std::int64_t block) const
    {
        return std::min(block_rows_, rows_ - block % blocks_ * block_rows_);
    }
    /// Row `r` of a block; a stack holds the rows of one head, or of a group's heads one after another.
    std::int64_t query_of(std::int64_t block, std::int64_t r) const
    {
        return (block % blocks_ * block_rows_ + r) % c.queries;
    }
    std::int64_t first_row(std::int64_t block) const { return block / blocks_ * rows_ + block % blocks_ * block_rows_; }

    void attend(std::int64_t block, std::int64_t split, partial& p, memory& m) const
    {
        const std::int64_t rows = rows_of(block), row = first_row(block), head = row / (c.group() * c.queries);
        span keys{c.keys, 0};
        for (std::int64_t r = 0; r < rows; ++r) {
            const span s = c.attended(query_of(block, r));
            keys = {std::min(keys.begin, s.begin), std::max(keys.end, s.end)};
        }
        p.top.assign(static_cast<std::size_t>(rows), minus_infinity);
        p.sum.assign(static_cast<std::size_t>(rows), 0);
        p.out.assign(static_cast<std::size_t>(rows * c.value_dim), 0);
        m.scores.resize(static_cast<std::size_t>(rows * key_block));
        const float* const q = widened(in_->q.get() + row * c.key_dim, rows, c.key_dim, c.key_dim, m.q).data;
        const std::int64_t all_blocks = heed::ceil_div(c.keys, key_block), end = all_blocks * (split + 1) / splits_;
        for (std::int64_t b = all_blocks * split / splits_; b < end; ++b) {
            const std::int64_t first = std::max(b * key_block, keys.begin),
                               n = std::min((b + 1) * key_block, keys.end) - first;
            if (n <= 0) continue;
            score(q, rows, in_->k(head) + first * in_->k_step.token, n, m);
            for (std::int64_t r = 0; r < rows; ++r) weigh(c.attended(query_of(block, r)), first, n, r, m, p);
            add_values(rows, in_->v(head) + first * in_->v_step.token, n, m, p);
        }
    }

    /// scores[rows][n] = Q K^T / sqrt(Dqk)
    void score(const float* q, std::int64_t rows, const E* keys_of, std::int64_t n, memory& m) const
    {
        const float scale = 1 / std::sqrt(static_cast<float>(c.key_dim));
        const int dim = int_of(c.key_dim), keys = int_of(n);
        const matrix k = widened(keys_of, n, c.key_dim, in_->k_step.token, m.kv);
        if (rows > rows_as_vectors)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, int_of(rows), keys, dim, scale, q, dim, k.data,
                        int_of(k.stride), 0, m.scores.data(), int_of(key_block));
        else
            for (std::int64_t r = 0; r < rows; ++r)
                cblas_sgemv(CblasRowMajor, CblasNoTrans, keys, dim, scale, k.data, int_of(k.stride), q + r * dim, 1, 0,
                            m.scores.data() + r * key_block, 1);
    }

    void weigh(span attended, std::int64_t first, std::int64_t n, std::int64_t r, memory& m, partial& p) const
    {
        float* const s = m.scores.data() + r * key_block;
        const auto i = static_cast<std::size_t>(r);
        const std::int64_t begin = std::clamp<std::int64_t>(attended.begin - first, 0, n),
                           end = std::clamp<std::int64_t>(attended.end - first, begin, n);
        std::fill(s, s + begin, 0.0f);
        std::fill(s + end, s + n, 0.0f);
        if (begin == end) return;
        const float top = std::max(p.top[i], largest_of(s + begin, end - begin)), shrink = std::exp(p.top[i] - top);
        p.sum[i] = p.sum[i] * shrink + exponentiate(s + begin, end - begin, top);
        if (shrink != 1) multiply(p.out.data() + r * c.value_dim, c.value_dim, shrink);
        p.top[i] = top;
    }

    /// out[rows][Dv] += P V
    void add_values(std::int64_t rows, const E* values, std::int64_t n, memory& m, partial& p) const
    {
        const int dim = int_of(c.value_dim), keys = int_of(n);
        const matrix v = widened(values, n, c.value_dim, in_->v_step.token, m.kv);
        if (rows > rows_as_vectors)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, int_of(rows), dim, keys, 1, m.scores.data(),
                        int_of(key_block), v.data, int_of(v.stride), 1, p.out.data(), dim);
        else
            for (std::int64_t r = 0; r < rows; ++r)
                cblas_sgemv(CblasRowMajor, CblasTrans, keys, dim, 1, v.data, int_of(v.stride),
                            m.scores.data() + r * key_block, 1, 1, p.out.data() + r * dim, 1);
    }

    void merge(partial& into, partial& from) const
    {
        for (std::size_t r = 0; r < into.top.size(); ++r) {
            if (from.sum[r] == 0) continue;
            const float top = std::max(into.top[r], from.top[r]), a = std::exp(into.top[r] - top),
                        b = std::exp(from.top[r] - top);
            into.sum[r] = a * into.sum[r] + b * from.sum[r];
            into.top[r] = top;
            float* const o = into.out.data() + static_cast<std::int64_t>(r) * c.value_dim;
            const float* const x = from.out.data() + static_cast<std::int64_t>(r) * c.value_dim;
            for (std::int64_t d = 0; d < c.value_dim; ++d) o[d] = a * o[d] + b * x[d];
        }
    }

    void finish(std::int64_t block, const partial& p)
    {
        E* const out = out_.get() + first_row(block) * c.value_dim;
        for (std::int64_t r = 0; r < rows_of(block); ++r) {
            const float sum = p.sum[static_cast<std::size_t>(r)], by = sum > 0 ? 1 / sum : 0;
            for_vectors(p.out.data() + r * c.value_dim, c.value_dim, [&](vector v, std::int64_t i, int n) {
                heed::simd::store_as_n(out + r * c.value_dim + i, v * vector(by), n);
            });
        }
    }

    const bench_case c;
    std::shared_ptr<const inputs<E>> in_;
    buffer<E> out_;
    heed::thread_pool pool_;
    std::vector<memory> scratch_;  // one a worker
    std::vector<partial> parts_;   // one a worker, or one a task where keys are split
    std::int64_t rows_, block_rows_, blocks_, stacks_, splits_;
};

template <class E>
contestant make(const bench_case& c)
{
    openblas_set_num_threads(1);  // the tasks are ours
    const auto b = std::make_shared<blocked<E>>(c);
    return {[=] { b->run(); }, [=] { return b->output(); }, b->describe()};
}

/// Of the f32 GEMM that it takes for a CPU that it calls so.
int vector_bits_of(const std::string& core)
{
    for (const char* wide : {"SkylakeX", "Cooperlake", "SapphireRapids"})
        if (core == wide) return 512;
    for (const char* avx : {"Haswell", "Zen", "Excavator", "Steamroller", "Piledriver", "Bulldozer", "Sandybridge"})
        if (core == avx) return 256;
    for (const char* sse : {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Katmai", "Coppermine", "Northwood",
                            "Atom", "Nano", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Athlon"})
        if (core == sse) return 128;
    return 0;
}

}  // namespace

std::string openblas_refusal(const bench_case& c)
{
    return c.normalizer == "softmax" ? "" : "openblas has softmax only";
}

library openblas_library()
{
    std::string version = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
    version.erase(0, version.find(' ') + 1);
    version.erase(std::min(version.find(' '), version.size()));
    const std::string kernel = openblas_get_corename();
    return {"OpenBLAS", version, kernel, vector_bits_of(kernel), "one thread a task of heed-bench's"};
}

contestant make_openblas(const bench_case& c)
{
    if (c.element == "bf16") return make<heed::bf16>(c);
    if (c.element == "f16") return make<heed::f16>(c);
    return make<float>(c);
}

}  // namespace bench
