// SPDX-License-Identifier: MIT
// Runs the compute op as a graph does, in threads with and without a barrier, and judges it by the textbook.
#pragma once

#include "op_case.hpp"

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace test {

/// A barrier as a graph might have one.
class meeting {
public:
    explicit meeting(int threads) : threads_(threads) {}
    void wait()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const int64 round = round_;
        if (++here_ == threads_) {
            here_ = 0;
            ++round_;
            all_.notify_all();
        } else {
            all_.wait(lock, [&] { return round_ != round; });
        }
    }
    compute_op::barrier handle()
    {
        return {[](void* of) { static_cast<meeting*>(of)->wait(); }, this};
    }
    int64 rounds() const { return round_; }

private:
    std::mutex mutex_;
    std::condition_variable all_;
    int threads_, here_ = 0;
    int64 round_ = 0;
};

template <class E>
constexpr compute_op::type type_of = std::is_same_v<E, float>        ? compute_op::type::f32
                                     : std::is_same_v<E, heed::f16>  ? compute_op::type::f16
                                     : std::is_same_v<E, heed::bf16> ? compute_op::type::bf16
                                     : std::is_same_v<E, heed::q8_0> ? compute_op::type::q8_0
                                     : std::is_same_v<E, heed::q4_0> ? compute_op::type::q4_0
                                     : std::is_same_v<E, heed::q4_1> ? compute_op::type::q4_1
                                     : std::is_same_v<E, heed::q5_0> ? compute_op::type::q5_0
                                     : std::is_same_v<E, heed::q5_1> ? compute_op::type::q5_1
                                                                     : compute_op::type::iq4_nl;

/// The kernels of one pair of types.
template <class K, class V = K>
using kernels_of = compute_op::kernels<compute_op::kv_types<type_of<K>, type_of<V>>>;

/// Runs all parts at once, each in a thread of its own, in scratch at an odd address; returns how often they met.
template <class K, class V, class Kernels = kernels_of<K, V>>
int64 run(op_case<K, V>& op, int threads, bool with_barrier = false, Kernels = {})
{
    std::fill(op.out_data.begin(), op.out_data.end(), op_case<K, V>::canary);
    const std::size_t bytes = compute_op::scratch_bytes<Kernels>(op.p, op.t, threads), before = 17, behind = 200;
    REQUIRE(bytes > 0);
    std::vector<unsigned char> memory(before + bytes + behind, 0xa5);
    std::vector<heed::status> result(as_size(threads));
    std::vector<std::thread> running;
    meeting all(threads);
    const compute_op::barrier barrier = with_barrier ? all.handle() : compute_op::barrier{};
    for (int ith = threads; ith-- > 0;)
        running.emplace_back([&, ith] {
            result[as_size(ith)] =
                compute_op::compute<Kernels>(op.p, op.t, ith, threads, memory.data() + before, bytes, barrier);
        });
    for (std::thread& thread : running) thread.join();
    for (const heed::status& s : result) {
        INFO(s.message());
        REQUIRE(s);
    }
    const auto kept = [&](std::size_t from, std::size_t to) {
        return std::all_of(memory.begin() + static_cast<std::ptrdiff_t>(from),
                           memory.begin() + static_cast<std::ptrdiff_t>(to), [](auto x) { return x == 0xa5; });
    };
    REQUIRE(kept(0, before));
    REQUIRE(kept(before + bytes, memory.size()));
    REQUIRE(op.gaps_untouched());
    return all.rounds();
}

template <class K, class V = K, class Kernels = kernels_of<K, V>>
void is_the_textbook(const op_sizes& sizes, Kernels kernels = {})
{
    CAPTURE(compute_op::detail::describe(type_of<K>).name, compute_op::detail::describe(type_of<V>).name, sizes.dim,
            sizes.value_dim, sizes.queries, sizes.keys, sizes.heads, sizes.kv_heads, sizes.mask_heads, sizes.mask_batch,
            sizes.sinks, sizes.softcap, sizes.max_bias, sizes.interleaved);
    op_case<K, V> op(sizes, type_of<K>, type_of<V>);
    run(op, 1, false, kernels);
    const std::vector<double> expected = op.textbook();
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i, expected[i], op.result(i));
        REQUIRE(std::fabs(op.result(i) - expected[i]) < 5e-6);
    }
    const std::vector<float> alone = op.out_data;
    std::vector<std::byte> memory(compute_op::summary_bytes(op.t));
    heed::mask_summary summary;
    REQUIRE(compute_op::summarise(op.t, memory.data(), memory.size(), summary));
    REQUIRE(summary.is_made() == (op.t.mask != nullptr));
    for (const int threads : {2, 3, 7})
        for (const bool with_barrier : {false, true}) {
            op.t.mask_summary = threads == 3 ? &summary : nullptr;
            run(op, threads, with_barrier, kernels);
            REQUIRE(same_bits(op.out_data, alone));
        }
}

template <class K, class V = K, class Kernels = kernels_of<K, V>>
void several_tiles(Kernels kernels = {})
{
    for (const int64 queries : {1, 150})
        for (const int64 mask_heads : {0, 1})
            is_the_textbook<K, V>({.dim = 32,
                                   .value_dim = 64,
                                   .queries = queries,
                                   .keys = 1100,
                                   .heads = 4,
                                   .kv_heads = 1,
                                   .batch = 1,
                                   .mask_heads = mask_heads,
                                   .sinks = true,
                                   .max_bias = mask_heads ? 4.f : 0.f,
                                   .interleaved = true},
                                  kernels);
}

}  // namespace test
