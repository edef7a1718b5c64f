// SPDX-License-Identifier: MIT
// Four definitions, compiled once for each CPU. Nothing here but heed's own templates and functions of this file: what
// else is inline, std's containers among it, the linker would take from one of these objects for all.
#include "kernels.hpp"

#include <heed/heed.hpp>

#include <cstdio>
#include <cstdlib>

namespace {

/// The host's threads.
struct host_executor {
    const attention_executor& of;

    int concurrency() const { return of.run ? of.workers : 1; }
    template <class F>
    void operator()(std::int64_t n, F f) const
    {
        if (!of.run) return heed::serial_executor{}(n, f);
        of.run(of.host, n, [](void* context, std::int64_t i, std::int32_t worker) { (*static_cast<F*>(context))(i, worker); },
               &f);
    }
};

template <class T>
heed::view<T> view_of(const attention_tensor& t)
{
    const std::int64_t *n = t.size, *s = t.stride;
    return heed::strided(static_cast<T*>(t.data), {n[0], n[1], n[2], n[3]}, {s[0], s[1], s[2]});
}

int fail(char* error, std::size_t bytes, const char* why)
{
    std::snprintf(error, bytes, "%s", why);
    return -1;
}

/// Memory of the call's own, where the caller gave none.
class scratch {
public:
    scratch() = default;
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() { std::free(data_); }
    void* take(std::size_t bytes) { return data_ = std::malloc(bytes); }

private:
    void* data_ = nullptr;
};

/// Plans a call, and runs it where `run` says so; `bytes` is the workspace that it needs.
template <class E, class Normalizer>
int perform(const attention_call& call, bool run, std::size_t& bytes, char* error, std::size_t error_bytes)
{
    const std::int64_t dim = call.q.size[3];
    const double root = dim > 0 ? 1 / heed::sqrt(static_cast<double>(dim)) : 1;
    const heed::window window{call.window == 0 ? heed::unbounded : call.window - 1,
                              call.causal ? 0 : heed::unbounded};
    const heed::attention def{Normalizer{}, window,
                              heed::scale{call.scale == 0 ? root : static_cast<double>(call.scale)}};
    const auto q = view_of<const float>(call.q);
    const auto out = view_of<float>(call.out);
    const heed::index_view lengths{call.lengths, call.lengths ? call.k.size[0] : 0};
    const heed::dense_kv kv{view_of<const E>(call.k), view_of<const E>(call.v), lengths};
    host_executor executor{call.executor};
    heed::options<float> how;
    how.executor = executor;
    how.stats.lse = call.lse;
    const heed::plan plan(def, q, kv, how);
    if (!plan.status()) return fail(error, error_bytes, plan.status().message());
    bytes = plan.workspace_bytes();
    if (!run) return 0;
    scratch own;
    how.workspace = {call.workspace, call.workspace_bytes};
    if (!call.workspace) how.workspace = {own.take(bytes), bytes};
    if (bytes != 0 && !how.workspace.data) return fail(error, error_bytes, "attention_run: no memory for its workspace");
    const heed::status result = plan.run(q, kv, out, how);
    return result ? 0 : fail(error, error_bytes, result.message());
}

int choose(const attention_call& call, bool run, std::size_t& bytes, char* error, std::size_t error_bytes)
{
    if (call.q.element != ATTENTION_F32 || call.out.element != ATTENTION_F32)
        return fail(error, error_bytes, "attention: q and out are f32");
    if (call.window != 0 && !call.causal) return fail(error, error_bytes, "attention: a window is of causal rows");
    if (call.k.element != call.v.element) return fail(error, error_bytes, "attention: k and v are of two elements");
    const auto of = [&](auto element, auto normalizer) {
        return perform<decltype(element), decltype(normalizer)>(call, run, bytes, error, error_bytes);
    };
    const auto with = [&](auto element) {
        switch (call.normalizer) {
        case ATTENTION_SOFTMAX: return of(element, heed::softmax{});
        case ATTENTION_SOFTPICK: return of(element, heed::softpick{});
        default: return fail(error, error_bytes, "attention: the normalizer is neither softmax nor softpick");
        }
    };
    switch (call.k.element) {
    case ATTENTION_F32: return with(float{});
    case ATTENTION_BF16: return with(heed::bf16{});
    default: return fail(error, error_bytes, "attention: k and v are neither f32 nor bf16");
    }
}

int run_here(const attention_call& call, char* error, std::size_t error_bytes)
{
    std::size_t bytes = 0;
    return choose(call, true, bytes, error, error_bytes);
}

std::size_t workspace_bytes_here(const attention_call& call, char* error, std::size_t error_bytes)
{
    std::size_t bytes = 0;
    return choose(call, false, bytes, error, error_bytes) == 0 ? bytes : 0;
}

}  // namespace

extern const kernels HEED_TABLE;  // a constant is visible to other files where it was declared so
const kernels HEED_TABLE = {heed::isa_name(), &run_here, &workspace_bytes_here};
