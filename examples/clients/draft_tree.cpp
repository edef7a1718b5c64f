// SPDX-License-Identifier: MIT
// A verification step of B sequences that begin alike (a system prompt) and have a tree of drafts each: node i of a
// tree comes behind its parent, and attends the prompt, the tokens of its own sequence and the nodes from the root to
// itself. All rows go through one state, in two steps:
//
//     1. attend_partial of all rows over the prompt, as one sequence of keys          state [1, Hq, rows]
//     2. attend_partial of the packed rows, each over its own sequence, under the     the same state
//        mask of the tree; finish divides                                             out [1, Hq, rows, D]
//
// Then a path is accepted, and move_rows() makes its nodes the next tokens of their sequence, as they are stored
// (q8_0). The program checks both: rows against attention over the path alone, token by token, and moved rows byte by
// byte.
#include "../program/arguments.hpp"
#include "../program/guarded_main.hpp"

#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace {

using llama2c::input_error, llama2c::int64;

const char usage[] = "usage: draft_tree [--batch N] [--prompt TOKENS] [--own TOKENS] [--nodes N]\n";

constexpr int64 heads = 8, kv_heads = 2, dim = 64;
constexpr int64 blocks = dim / heed::channels_of<heed::q8_0>;

struct settings {
    int64 batch = 4, prompt = 1024, own = 75, nodes = 12;
};

settings parse(int argc, char** argv)
{
    settings s;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        const auto value = [&](int64 least) {
            if (++i >= argc) throw input_error(a + ": needs a value");
            return llama2c::whole_number(a, argv[i], least, 1 << 20);
        };
        if (a == "--batch") s.batch = value(1);
        else if (a == "--prompt") s.prompt = value(1);
        else if (a == "--own") s.own = value(0);
        else if (a == "--nodes") s.nodes = value(1);
        else throw input_error(a + ": unknown option");
    }
    return s;
}

std::size_t as_size(int64 n) { return static_cast<std::size_t>(n); }

/// Uniform numbers from -1 to 1.
class drawn {
public:
    std::vector<float> operator()(int64 n)
    {
        std::vector<float> x(as_size(n));
        for (float& e : x) e = uniform_(random_);
        return x;
    }
    int64 below(int64 n) { return static_cast<int64>(random_() % static_cast<std::uint64_t>(n)); }

private:
    std::mt19937_64 random_{1};
    std::uniform_real_distribution<float> uniform_{-1, 1};
};

/// Parents of nodes, -1 for the root's.
class tree {
public:
    tree(int64 nodes, drawn& draw)
    {
        for (int64 i = 0; i < nodes; ++i) parents_.push_back(i == 0 ? -1 : draw.below(i));
    }
    /// Whether `other` lies on the way from the root to `node`, itself included.
    bool leads(int64 other, int64 node) const
    {
        while (node > other) node = parents_[as_size(node)];
        return node == other;
    }
    /// The nodes from the root to `node`.
    std::vector<int64> path(int64 node) const
    {
        std::vector<int64> nodes;
        for (int64 i = 0; i <= node; ++i)
            if (leads(i, node)) nodes.push_back(i);
        return nodes;
    }

private:
    std::vector<int64> parents_;
};

/// The step: sequence b has the rows [b * nodes, (b + 1) * nodes), one a node, and its keys behind the prompt's are its
/// own tokens and then its nodes.
class step {
public:
    explicit step(const settings& s)
        : s_(s), keys_(s.own + s.nodes), rows_{1, heads, s.batch * s.nodes, dim},
          q_(draw_(rows_.heads * rows_.tokens * dim)), prompt_k_(as_size(kv_heads * s.prompt * blocks)),
          prompt_v_(prompt_k_), k_(as_size(s.batch * kv_heads * keys_ * blocks)), v_(k_)
    {
        for (int64 b = 0; b < s.batch; ++b) trees_.emplace_back(s.nodes, draw_);
        for (int64 b = 0; b <= s.batch; ++b) bounds_.push_back(b * s.nodes);
        fill(prompt(), 1, s.prompt);
        fill(own(), s.batch, keys_);
    }

    /// Both steps of the cascade.
    std::vector<float> attend()
    {
        const auto n = as_size(rows_.heads * rows_.tokens);
        std::vector<float> shift(n), mass(n), sums(n * dim), out(n * dim);
        const heed::state<float> state{shift.data(), mass.data(), sums.data(), rows_};
        const auto q = heed::bhsd(q_.data(), rows_);
        const heed::attention behind_all{heed::softmax{}};  // the prompt lies before every row
        const heed::attention in_tree{heed::softmax{}, heed::attend_where([this](int64 b, int64, int64 row, int64 key) {
                                          const int64 node = key - s_.prompt - s_.own, own = row - s_.prompt - s_.own;
                                          return node < 0 || (node <= own && trees_[as_size(b)].leads(node, own));
                                      })};
        heed::or_throw(heed::clear(behind_all, state));
        heed::or_throw(heed::attend_partial(behind_all, q, prompt(), state, {0, s_.prompt + keys_}));
        heed::or_throw(heed::attend_partial(in_tree, heed::packed{q, bounds()}, own(), state, {s_.prompt, -1}));
        heed::or_throw(heed::finish(in_tree, state, heed::bhsd(out.data(), rows_)));
        return out;
    }

    /// The largest difference between rows of `out` and attention over their paths, which are plain sequences.
    double largest_difference(const std::vector<float>& out)
    {
        double most = 0;
        for (int64 b = 0; b < s_.batch; ++b)
            for (int64 node = 0; node < s_.nodes; ++node) {
                const std::vector<int64> path = trees_[as_size(b)].path(node);
                const auto count = static_cast<int64>(path.size());
                std::vector<float> one(as_size(heads * dim));
                const int64 row = b * s_.nodes + node, all = s_.prompt + s_.own + count;
                std::vector<heed::q8_0> k(as_size(kv_heads * all * blocks)), v(k);
                const heed::dense_kv sequence{heed::bhsd(k.data(), {1, kv_heads, all, dim}),
                                              heed::bhsd(v.data(), {1, kv_heads, all, dim})};
                for (int64 h = 0; h < kv_heads; ++h)
                    for (int64 t = 0; t < all; ++t) {
                        const int64 own = t - s_.prompt,
                                    place = own < s_.own ? own : s_.own + path[as_size(own - s_.own)];
                        copy(t < s_.prompt ? prompt() : this->own(), t < s_.prompt ? 0 : b, t < s_.prompt ? t : place,
                             sequence, t, h);
                    }
                const auto q = heed::strided(q_.data() + row * dim, {1, heads, 1, dim}, {0, rows_.tokens * dim, dim});
                heed::or_throw(heed::attend(q, sequence.k, sequence.v, heed::bhsd(one.data(), {1, heads, 1, dim})));
                for (int64 h = 0; h < heads; ++h)
                    for (int64 c = 0; c < dim; ++c)
                        most = std::fmax(
                            most, std::fabs(static_cast<double>(one[as_size(h * dim + c)]) -
                                            static_cast<double>(out[as_size((h * rows_.tokens + row) * dim + c)])));
            }
        return most;
    }

    /// Accepts the path to the last node of each tree; returns how many rows are not the bytes they were.
    int64 accept()
    {
        const std::vector<heed::q8_0> before_k = k_, before_v = v_;
        int64 wrong = 0;
        for (int64 b = 0; b < s_.batch; ++b) {
            std::vector<int64> tokens;
            for (const int64 node : trees_[as_size(b)].path(s_.nodes - 1)) tokens.push_back(s_.own + node);
            heed::or_throw(heed::move_rows(own(), b, s_.own, {tokens.data(), static_cast<int64>(tokens.size())}));
            for (int64 h = 0; h < kv_heads; ++h)
                for (std::size_t i = 0; i < tokens.size(); ++i) {
                    const int64 head = (b * kv_heads + h) * keys_,
                                to = (head + s_.own + static_cast<int64>(i)) * blocks,
                                from = (head + tokens[i]) * blocks;
                    wrong += std::memcmp(&k_[as_size(to)], &before_k[as_size(from)],
                                         as_size(blocks) * sizeof(heed::q8_0)) != 0;
                    wrong += std::memcmp(&v_[as_size(to)], &before_v[as_size(from)],
                                         as_size(blocks) * sizeof(heed::q8_0)) != 0;
                }
        }
        return wrong;
    }

private:
    using cache = heed::dense_kv<heed::q8_0, heed::q8_0>;

    cache prompt() { return cache_of(prompt_k_, prompt_v_, 1, s_.prompt); }
    cache own() { return cache_of(k_, v_, s_.batch, keys_); }
    static cache cache_of(std::vector<heed::q8_0>& k, std::vector<heed::q8_0>& v, int64 batch, int64 tokens)
    {
        return {heed::bhsd(k.data(), {batch, kv_heads, tokens, dim}),
                heed::bhsd(v.data(), {batch, kv_heads, tokens, dim})};
    }
    heed::index_view bounds() const { return {bounds_.data(), static_cast<int64>(bounds_.size())}; }
    void fill(const cache& to, int64 batch, int64 tokens)
    {
        const heed::extents rows{1, kv_heads, tokens, dim};
        for (int64 b = 0; b < batch; ++b) {
            const std::vector<float> k = draw_(kv_heads * tokens * dim), v = draw_(kv_heads * tokens * dim);
            heed::or_throw(heed::append(to, b, 0, heed::bhsd(k.data(), rows), heed::bhsd(v.data(), rows)));
        }
    }
    static void copy(const cache& from, int64 b, int64 token, const cache& to, int64 place, int64 head)
    {
        std::copy_n(from.k.row(b, head, token), blocks, to.k.row(0, head, place));
        std::copy_n(from.v.row(b, head, token), blocks, to.v.row(0, head, place));
    }

    settings s_;
    int64 keys_;
    heed::extents rows_;
    drawn draw_;
    std::vector<float> q_;
    std::vector<heed::q8_0> prompt_k_, prompt_v_, k_, v_;
    std::vector<tree> trees_;
    std::vector<int64> bounds_;
};

int run(const settings& s)
{
    step now(s);
    const double difference = now.largest_difference(now.attend());
    const int64 wrong = now.accept();
    std::printf("%lld sequences behind a prompt of %lld tokens, %lld of their own, trees of %lld drafts\n",
                static_cast<long long>(s.batch), static_cast<long long>(s.prompt), static_cast<long long>(s.own),
                static_cast<long long>(s.nodes));
    std::printf("rows against attention over their paths: differ by %.1e at most\n", difference);
    std::printf("accepted rows with other bytes: %lld\n", static_cast<long long>(wrong));
    return difference < 1e-5 && wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    return llama2c::guarded_main("draft_tree", usage, argc, argv, [](int c, char** v) { return run(parse(c, v)); });
}
