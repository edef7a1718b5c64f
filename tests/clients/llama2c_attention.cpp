// SPDX-License-Identifier: MIT
// The call that takes the place of llama2.c's loop over heads, against that loop in double.
#include "../../examples/clients/llama2c_attention.hpp"
#include "two_threads.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;
using llama2c::attention_shape;

namespace {

std::size_t as_size(int64 n) { return static_cast<std::size_t>(n); }

/// Queries of a token and the cache of a layer; what lies behind pos is NaN.
struct token {
    attention_shape shape;
    int pos;
    std::vector<float> q, keys, values;

    token(const attention_shape& s, int at) : shape(s), pos(at)
    {
        const int64 kv_dim = s.n_kv_heads * s.head_size;
        q = normal<float>({1, 1, 1, s.n_heads * s.head_size}, 1, 2).data;
        keys = normal<float>({1, 1, s.seq_len, kv_dim}, 2).data;
        values = normal<float>({1, 1, s.seq_len, kv_dim}, 3).data;
        for (auto* cache : {&keys, &values})
            std::fill(cache->begin() + (pos + 1) * kv_dim, cache->end(), std::numeric_limits<float>::quiet_NaN());
    }

    std::vector<double> textbook() const
    {
        const int64 dim = shape.head_size, kv_dim = shape.n_kv_heads * dim, group = shape.n_heads / shape.n_kv_heads;
        std::vector<double> out(q.size());
        for (int64 h = 0; h < shape.n_heads; ++h) {
            std::vector<double> weight(as_size(pos + 1));
            double highest = -INFINITY, sum = 0;
            for (int64 t = 0; t <= pos; ++t) {
                double dot = 0;
                for (int64 c = 0; c < dim; ++c)
                    dot += double{q[as_size(h * dim + c)]} * double{keys[as_size(t * kv_dim + h / group * dim + c)]};
                weight[as_size(t)] = dot / std::sqrt(static_cast<double>(dim));
                highest = std::max(highest, weight[as_size(t)]);
            }
            for (double& w : weight) sum += w = std::exp(w - highest);
            for (int64 t = 0; t <= pos; ++t)
                for (int64 c = 0; c < dim; ++c)
                    out[as_size(h * dim + c)] +=
                        weight[as_size(t)] / sum * double{values[as_size(t * kv_dim + h / group * dim + c)]};
        }
        return out;
    }
};

}  // namespace

TEST_CASE("attend_token is the textbook's loop over heads, in scratch of the size asked for")
{
    const attention_shape shapes[] = {{6, 6, 48, 256}, {8, 4, 8, 512}, {32, 8, 128, 700}, {4, 1, 33, 1500}};
    for (const attention_shape& s : shapes)
        for (const int pos : {0, 1, 17, s.seq_len / 2, s.seq_len - 1})
            for (const bool threads : {false, true}) {
                CAPTURE(s.n_heads, s.n_kv_heads, s.head_size, pos, threads);
                const token t(s, pos);
                two_threads two;
                const heed::executor_ref executor = threads ? heed::executor_ref(two) : heed::executor_ref();
                const std::size_t bytes = llama2c::attention_scratch_bytes(s, executor);
                std::vector<unsigned char> scratch(bytes + 64, 0xa5);
                std::vector<float> xb(t.q.size());
                const auto attend = [&](float* out, const float* q) {
                    heed::or_throw(llama2c::attend_token(out, q, t.keys.data(), t.values.data(), pos, s,
                                                         {scratch.data(), bytes}, executor));
                };
                attend(xb.data(), t.q.data());
                const std::vector<double> expected = t.textbook();
                for (std::size_t i = 0; i < xb.size(); ++i) REQUIRE(std::fabs(double{xb[i]} - expected[i]) < 3e-6);
                for (std::size_t i = bytes; i < scratch.size(); ++i) REQUIRE(scratch[i] == 0xa5);

                std::vector<float> in_place = t.q;
                attend(in_place.data(), in_place.data());
                REQUIRE(same_bits(in_place, xb));
            }
}

TEST_CASE("attend_token refuses positions, shapes and scratch, and writes nothing then")
{
    const attention_shape s{4, 2, 16, 64};
    const token t(s, 63);
    std::vector<unsigned char> scratch(llama2c::attention_scratch_bytes(s));
    std::vector<float> xb(t.q.size(), 5.f);
    const auto refused = [&](int pos, const attention_shape& shape, std::size_t bytes, const char* says) {
        const heed::status status = llama2c::attend_token(xb.data(), t.q.data(), t.keys.data(), t.values.data(), pos,
                                                          shape, {scratch.data(), bytes});
        REQUIRE(!status);
        REQUIRE_THAT(std::string(status.message()), Contains(says));
        REQUIRE(xb == std::vector<float>(t.q.size(), 5.f));
    };
    refused(-1, s, scratch.size(), "pos -1 is not in [0, 64)");
    refused(64, s, scratch.size(), "pos 64 is not in [0, 64)");
    refused(3, {5, 2, 16, 64}, scratch.size(), "q.heads 5 is not a multiple of kv.heads 2");
    refused(3, s, scratch.size() - 1, "workspace of");
    REQUIRE(llama2c::attention_scratch_bytes({5, 2, 16, 64}) == 0);
}
