// SPDX-License-Identifier: MIT
// oneDNN's primitives one after another: matmul, softmax, matmul, over as many heads a call as keep their scores near
// the cores. It knows no mask: all scores are computed, and masked ones overwritten by -inf. In decode, and for a few
// rows a kv head, the rows of the whole group make one matrix. Threads are those of oneDNN's OpenMP runtime.
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/base/element.hpp>
#include <heed/executor/threads.hpp>

#include <dlfcn.h>
#include <dnnl.hpp>

#include <cmath>
#include <cstdio>
#include <limits>

namespace bench {
namespace {

constexpr std::int64_t rows_as_one_matrix = 32;
constexpr double score_bytes_a_call = 1 << 20;  // of a thread; 0.2 and 8 MB are slower or the same

/// omp_set_num_threads of the runtime that libdnnl brought along: this program is compiled without OpenMP.
auto thread_setter() { return reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads")); }

const dnnl::engine& cpu()
{
    static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
    return e;
}

dnnl::memory::data_type type_of(const bench_case& c)
{
    if (c.element == "bf16") return dnnl::memory::data_type::bf16;
    if (c.element == "f16") return dnnl::memory::data_type::f16;
    return dnnl::memory::data_type::f32;
}

/// The three primitives and their matrices [heads a call, rows, ...].
struct recipe {
    std::int64_t rows, calls, heads_a_call;
    dnnl::memory::desc q, k, v, scores, weights, out;
    dnnl::matmul::primitive_desc score, value;
    dnnl::softmax_v2_forward::primitive_desc softmax;

    explicit recipe(const bench_case& c)
    {
        const row_steps k_step = steps_of(c, c.key_dim), v_step = c.mla ? k_step : steps_of(c, c.value_dim);
        const bool together = c.phase == "decode" || c.group() * c.queries <= rows_as_one_matrix;
        rows = together ? c.group() * c.queries : c.queries;
        const std::int64_t heads = c.batch * c.query_heads * c.queries / rows;
        heads_a_call = 1;
        // Heads of all sequences are a step apart where K and V are [head][token], or there is one sequence.
        const bool evenly_apart = c.layout == kv_layout::bhsd || c.batch == 1;
        if (together || c.group() == 1)
            for (std::int64_t n = 2; n <= heads && evenly_apart; ++n) {
                const double bytes = 4.0 * static_cast<double>(n * rows * c.keys);
                if (heads % n == 0 && bytes <= score_bytes_a_call * c.threads) heads_a_call = n;
            }
        calls = heads / heads_a_call;
        const auto f32 = dnnl::memory::data_type::f32, own = type_of(c);
        using dims = dnnl::memory::dims;
        const std::int64_t n = heads_a_call;
        q = {dims{n, rows, c.key_dim}, own, dims{rows * c.key_dim, c.key_dim, 1}};
        k = {dims{n, c.key_dim, c.keys}, own, dims{k_step.head, 1, k_step.token}};
        v = {dims{n, c.keys, c.value_dim}, own, dims{v_step.head, v_step.token, 1}};
        scores = {dims{n, rows, c.keys}, f32, dims{rows * c.keys, c.keys, 1}};
        weights = {dims{n, rows, c.keys}, own, dims{rows * c.keys, c.keys, 1}};
        out = {dims{n, rows, c.value_dim}, own, dims{rows * c.value_dim, c.value_dim, 1}};
        dnnl::primitive_attr scaled;
        scaled.set_output_scales(0, {1 / std::sqrt(static_cast<float>(c.key_dim))});
        constexpr bool or_empty = true;
        score = {dnnl::matmul::desc(q, k, scores), scaled, cpu(), or_empty};
        softmax = {dnnl::softmax_v2_forward::desc(dnnl::prop_kind::forward_inference, dnnl::algorithm::softmax_accurate,
                                                  scores, weights, 2),
                   cpu(), or_empty};
        value = {dnnl::matmul::desc(weights, v, out), cpu(), or_empty};
    }
    bool exists() const { return score && softmax && value; }
};

template <class E>
class chain {
public:
    explicit chain(const bench_case& of)
        : c(of), in_(inputs_of<E>(of)), out_(of.batch * of.query_heads * of.queries * of.value_dim), pool_(of.threads),
          r_(with_threads(of)), score_(r_.score), value_(r_.value), softmax_(r_.softmax),
          scores_(static_cast<std::int64_t>(r_.scores.get_size() / 4)),
          weights_(static_cast<std::int64_t>(sizeof(E) == 4 ? 0 : r_.weights.get_size() / sizeof(E)))
    {}

    void run()
    {
        thread_setter()(c.threads);
        const auto memory = [](const dnnl::memory::desc& d, const void* p) {
            return dnnl::memory(d, cpu(), const_cast<void*>(p));
        };
        const std::int64_t n = r_.heads_a_call, kv_heads = r_.rows == c.queries ? c.group() : 1;
        dnnl::memory scores = memory(r_.scores, scores_.get());
        dnnl::memory weights = sizeof(E) == 4 ? scores : memory(r_.weights, weights_.get());
        for (std::int64_t call = 0; call < r_.calls; ++call) {
            const std::int64_t row = call * n * r_.rows, head = call * n / kv_heads;
            score_.execute(stream_, {{DNNL_ARG_SRC, memory(r_.q, in_->q.get() + row * c.key_dim)},
                                     {DNNL_ARG_WEIGHTS, memory(r_.k, in_->k(head))},
                                     {DNNL_ARG_DST, scores}});
            stream_.wait();
            if (c.mask != mask_kind::all) hide_masked();
            softmax_.execute(stream_, {{DNNL_ARG_SRC, scores}, {DNNL_ARG_DST, weights}});
            value_.execute(stream_, {{DNNL_ARG_SRC, weights},
                                     {DNNL_ARG_WEIGHTS, memory(r_.v, in_->v(head))},
                                     {DNNL_ARG_DST, memory(r_.out, out_.get() + row * c.value_dim)}});
            stream_.wait();
        }
    }
    std::vector<float> output() const { return {out_.get(), out_.get() + out_.size()}; }
    std::string describe() const
    {
        return std::string("oneDNN: ") + r_.score.impl_info_str() + ", " + r_.softmax.impl_info_str() + ", " +
               r_.value.impl_info_str() + "; " + std::to_string(r_.heads_a_call) + " x " + std::to_string(r_.rows) +
               " rows a call";
    }

private:
    /// Primitives divide their work when they are described.
    static recipe with_threads(const bench_case& of)
    {
        thread_setter()(of.threads);
        return recipe(of);
    }

    void hide_masked()
    {
        const auto row = [this](std::int64_t i, int) {
            constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
            const span keys = c.attended(i % c.queries);
            float* const s = scores_.get() + i * c.keys;
            std::fill(s, s + keys.begin, minus_infinity);
            std::fill(s + keys.end, s + c.keys, minus_infinity);
        };
        const std::int64_t rows = r_.heads_a_call * r_.rows;
        if (c.threads > 1) pool_(rows, row);
        else heed::serial_executor{}(rows, row);
    }

    const bench_case c;
    std::shared_ptr<const inputs<E>> in_;
    buffer<E> out_;
    heed::thread_pool pool_;
    recipe r_;
    dnnl::matmul score_, value_;
    dnnl::softmax_v2_forward softmax_;
    buffer<float> scores_;
    buffer<E> weights_;  // in place of the scores where the element is f32
    dnnl::stream stream_{cpu()};
};

template <class E>
contestant make(const bench_case& c)
{
    const auto d = std::make_shared<chain<E>>(c);
    return {[=] { d->run(); }, [=] { return d->output(); }, d->describe()};
}

}  // namespace

std::string onednn_refusal(const bench_case& c)
{
    if (c.normalizer != "softmax") return "onednn has softmax only";
    if (c.attended(0).end == 0) return "onednn: softmax of a row without keys";
    if (dnnl_version()->cpu_runtime != DNNL_RUNTIME_OMP || !thread_setter())
        return "onednn: this library's threads are not OpenMP's";
    return recipe(c).exists() ? "" : "onednn has no " + c.element + " matmul and softmax on this CPU";
}

library onednn_library()
{
    const dnnl_version_t& v = *dnnl_version();
    char version[32];
    std::snprintf(version, sizeof(version), "%d.%d.%d", v.major, v.minor, v.patch);
    const struct {
        int isa;
        const char* name;
    } known[] = {{dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
                 {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
                 {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
                 {dnnl_cpu_isa_avx512_core, "avx512_core"},
                 {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
                 {dnnl_cpu_isa_avx2, "avx2"},
                 {dnnl_cpu_isa_avx, "avx"},
                 {dnnl_cpu_isa_sse41, "sse41"}};
    const int is = static_cast<int>(dnnl::get_effective_cpu_isa());
    for (const auto& [isa, name] : known)
        if (is == isa)
            return {"oneDNN", version, name,
                    name[0] == 's'                              ? 128
                    : std::string(name).rfind("avx512", 0) == 0 ? 512
                                                                : 256,
                    "OpenMP, as many threads as the case"};
    return {"oneDNN", version, "instruction set " + std::to_string(is), 0, "OpenMP, as many threads as the case"};
}

contestant make_onednn(const bench_case& c)
{
    if (c.element == "bf16") return make<heed::bf16>(c);
    if (c.element == "f16") return make<heed::f16>(c);
    return make<float>(c);
}

}  // namespace bench
