// SPDX-License-Identifier: MIT
// A decode step of B sequences that begin alike, with a system prompt for example. All keys and values lie in one pool
// of pages, the prefix once. Each sequence's page table lists the prefix and then its own pages, and attending to it
// reads the prefix B times. Or the prefix is attended once, by the queries of all sequences together:
//
//     1. attend_partial of B rows a head over the prefix, one sequence of keys        state [1, Hq, B]
//     2. each sequence's rows of it                                                   state [B, Hq, 1]
//     3. attend_partial folds in the keys of its own; finish divides                  out   [B, Hq, 1, D]
//
// Where the prefix is a multiple of 512 tokens long, both have the same bits.
#include "../program/arguments.hpp"
#include "../program/guarded_main.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace {

using llama2c::input_error, llama2c::int64;

const char usage[] = "usage: shared_prefix [--batch N] [--prefix TOKENS] [--suffix TOKENS] [--heads N] [--kv-heads N]\n"
                     "                     [--dim N] [--threads N] [--seconds S]\n";

constexpr int64 page_tokens = 16;

struct settings {
    int64 batch = 0;  // 0: several
    int64 prefix = 4096, suffix = 128, heads = 32, kv_heads = 8, dim = 128, threads = 1;
    double seconds = 0.5;  // that a line is measured, at least
};

settings parse(int argc, char** argv)
{
    settings s;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        const auto value = [&] {
            if (++i >= argc) throw input_error(a + ": needs a value");
            return std::string(argv[i]);
        };
        if (a == "--batch") s.batch = llama2c::whole_number(a, value(), 1, 4096);
        else if (a == "--prefix") s.prefix = llama2c::whole_number(a, value(), page_tokens, 1 << 24);
        else if (a == "--suffix") s.suffix = llama2c::whole_number(a, value(), 1, 1 << 24);
        else if (a == "--heads") s.heads = llama2c::whole_number(a, value(), 1, 1024);
        else if (a == "--kv-heads") s.kv_heads = llama2c::whole_number(a, value(), 1, 1024);
        else if (a == "--dim") s.dim = llama2c::whole_number(a, value(), 1, 4096);
        else if (a == "--threads") s.threads = llama2c::whole_number(a, value(), 1, 1024);
        else if (a == "--seconds") s.seconds = llama2c::number(a, value(), 0, 1000);
        else throw input_error(a + ": unknown option");
    }
    if (s.prefix % page_tokens != 0)
        throw input_error("--prefix " + std::to_string(s.prefix) + ": sequences share whole pages, a multiple of " +
                          std::to_string(page_tokens) + " tokens");
    if (s.heads % s.kv_heads != 0)
        throw input_error("--heads " + std::to_string(s.heads) + ": is not a multiple of --kv-heads " +
                          std::to_string(s.kv_heads));
    return s;
}

std::size_t as_size(int64 n) { return static_cast<std::size_t>(n); }

std::vector<float> random_numbers(int64 n, unsigned seed, float largest)
{
    std::minstd_rand random(seed);
    std::uniform_real_distribution<float> uniform(-largest, largest);
    std::vector<float> x(as_size(n));
    for (float& e : x) e = uniform(random);
    return x;
}

/// Sequences as lists of pages, all of one length.
class page_lists {
public:
    page_lists(int64 sequences, int64 length, std::vector<std::int32_t> pages)
        : pages_(std::move(pages)), lengths_(as_size(sequences), length),
          width_(static_cast<int64>(pages_.size()) / sequences)
    {}
    heed::page_table table() const
    {
        return heed::page_table::padded({pages_.data(), static_cast<int64>(pages_.size())}, width_,
                                        {lengths_.data(), static_cast<int64>(lengths_.size())});
    }

private:
    std::vector<std::int32_t> pages_;
    std::vector<int64> lengths_;
    int64 width_;
};

/// A step of `batch` sequences: their queries, the cache, and both ways to attend to it.
class decode_step {
public:
    decode_step(const settings& s, int64 batch, heed::executor_ref executor)
        : rows_{batch, s.heads, 1, s.dim}, prefix_tokens_(s.prefix), prefix_pages_(s.prefix / page_tokens),
          own_pages_((s.suffix + page_tokens - 1) / page_tokens), pages_{prefix_pages_ + batch * own_pages_, s.kv_heads,
                                                                         page_tokens, s.dim},
          q_(random_numbers(count(rows_), 1, 2)), k_(random_numbers(count(pages_), 2, 2)),
          v_(random_numbers(count(pages_), 3, 1)), prefix_(1, s.prefix, {}), suffixes_(batch, s.suffix, {}),
          sequences_(batch, s.prefix + s.suffix, {}), by_head_({1, s.heads, batch, s.dim}), by_sequence_(rows_)
    {
        std::vector<std::int32_t> order(as_size(pages_.batch)), whole, own;
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), std::minstd_rand(4));  // as in a pool that has been in use
        const auto shared_end = order.begin() + prefix_pages_;
        for (int64 b = 0; b < batch; ++b) {
            const auto first = shared_end + b * own_pages_;
            whole.insert(whole.end(), order.begin(), shared_end);
            whole.insert(whole.end(), first, first + own_pages_);
            own.insert(own.end(), first, first + own_pages_);
        }
        prefix_ = {1, s.prefix, {order.begin(), shared_end}};
        suffixes_ = {batch, s.suffix, own};
        sequences_ = {batch, s.prefix + s.suffix, whole};
        how_.executor = executor;
        reserve_scratch();
    }

    /// Every sequence over all of its keys.
    void attend_to_each(std::vector<float>& out) const
    {
        heed::or_throw(heed::attend(def_, queries(), kv(sequences_), heed::bhsd(out.data(), rows_), how_));
    }

    /// The prefix once for all sequences, then each one's own keys.
    void attend_prefix_once(std::vector<float>& out)
    {
        heed::or_throw(heed::clear(def_, by_head_.view()));
        heed::or_throw(heed::attend_partial(def_, rows_of_a_head(), kv(prefix_), by_head_.view(), {}, how_));
        by_head_.copy_to(by_sequence_);
        heed::or_throw(
            heed::attend_partial(def_, queries(), kv(suffixes_), by_sequence_.view(), {prefix_tokens_, -1}, how_));
        heed::or_throw(heed::finish(def_, by_sequence_.view(), heed::bhsd(out.data(), rows_)));
    }

    std::size_t numbers() const { return q_.size(); }  // of queries, and of outputs

private:
    /// A state in memory of its own.
    struct partial_results {
        heed::extents size;
        std::vector<float> shift, mass, out;

        explicit partial_results(heed::extents e)
            : size(e), shift(as_size(e.batch * e.heads * e.tokens)), mass(shift.size()), out(as_size(count(e)))
        {}
        heed::state<float> view() { return {shift.data(), mass.data(), out.data(), size}; }

        /// [1, heads, sequences] to [sequences, heads, 1]: the state of a sequence does not depend on whose neighbour
        /// it was.
        void copy_to(partial_results& to) const
        {
            const int64 sequences = size.tokens;
            for (int64 h = 0; h < size.heads; ++h)
                for (int64 b = 0; b < sequences; ++b) {
                    const int64 from = h * sequences + b, row = b * size.heads + h;
                    to.shift[as_size(row)] = shift[as_size(from)];
                    to.mass[as_size(row)] = mass[as_size(from)];
                    std::copy_n(out.data() + from * size.dim, size.dim, to.out.data() + row * size.dim);
                }
        }
    };

    static int64 count(const heed::extents& e) { return e.batch * e.heads * e.tokens * e.dim; }

    heed::view<const float> queries() const { return heed::bhsd(q_.data(), rows_); }
    /// The same queries as rows of one sequence, [1, Hq, B, D].
    heed::view<const float> rows_of_a_head() const
    {
        return heed::bshd(q_.data(), {1, rows_.heads, rows_.batch, rows_.dim});
    }
    heed::paged_kv<const float> kv(const page_lists& of) const
    {
        return {heed::bshd(k_.data(), pages_), heed::bshd(v_.data(), pages_), of.table()};
    }

    void reserve_scratch()
    {
        std::size_t most = 0;
        const auto reserve = [&](const auto& q, const page_lists& of) {
            const heed::plan plan(def_, q, kv(of), how_);
            heed::or_throw(plan.status());
            most = std::max(most, plan.workspace_bytes());
        };
        reserve(queries(), sequences_);
        reserve(queries(), suffixes_);
        reserve(rows_of_a_head(), prefix_);
        scratch_.resize(most);
        how_.workspace = {scratch_.data(), scratch_.size()};
    }

    const heed::attention<heed::softmax> def_{heed::softmax{}};
    heed::extents rows_;  // of queries and outputs: [B, Hq, 1, D]
    int64 prefix_tokens_, prefix_pages_, own_pages_;
    heed::extents pages_;  // of the pool
    std::vector<float> q_, k_, v_;
    page_lists prefix_, suffixes_, sequences_;
    partial_results by_head_, by_sequence_;
    std::vector<char> scratch_;
    heed::options<float> how_;
};

template <class F>
double milliseconds_of(F f)
{
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> x)
{
    std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
    return x[x.size() / 2];
}

/// The largest difference in units of 2^-24, half a last place of 1. As values are within [-1, 1], so are outputs, and
/// one rounding of anything that is summed moves an output by one unit at most.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b)
{
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])) * 0x1p24;
        if (!(d <= largest)) largest = d;  // a NaN, too
    }
    return largest;
}
constexpr double allowed_difference = 16;

/// Measures one line of the table; whether both ways agree.
bool measure(const settings& s, int64 batch, heed::executor_ref executor)
{
    decode_step step(s, batch, executor);
    std::vector<float> each(step.numbers()), once(step.numbers());
    step.attend_to_each(each);
    step.attend_prefix_once(once);
    const double difference = largest_difference(each, once);

    std::vector<double> ms_each, ms_once;  // in turn, so that a busy machine is busy for both
    for (double spent = 0; ms_each.size() < 5 || spent < 1e3 * s.seconds; spent += ms_each.back() + ms_once.back()) {
        ms_each.push_back(milliseconds_of([&] { step.attend_to_each(each); }));
        ms_once.push_back(milliseconds_of([&] { step.attend_prefix_once(once); }));
    }
    const double a = median(ms_each), b = median(ms_once);
    std::printf("%9lld  %7lld  %7lld  %10.2f  %10.2f  %6.2f x  %13.2f\n", static_cast<long long>(batch),
                static_cast<long long>(s.prefix), static_cast<long long>(s.suffix), a, b, a / b, difference);
    std::fflush(stdout);
    return difference <= allowed_difference;
}

int run(const settings& s)
{
    heed::thread_pool pool(static_cast<int>(s.threads));
    std::printf("a decode step of one layer: %lld/%lld heads of %lld, f32 in pages of %lld tokens, %s, %lld thread%s\n"
                "either way one copy of the prefix is kept; page tables share it\n\n"
                "            tokens of each    ms, prefix attended\n"
                "sequences   prefix   suffix        each        once      gain  differ, 2^-24\n",
                static_cast<long long>(s.heads), static_cast<long long>(s.kv_heads), static_cast<long long>(s.dim),
                static_cast<long long>(page_tokens), heed::isa_name(), static_cast<long long>(s.threads),
                s.threads == 1 ? "" : "s");
    bool agree = true;
    for (const int64 batch : s.batch ? std::vector<int64>{s.batch} : std::vector<int64>{1, 2, 4, 8, 16, 32})
        agree = measure(s, batch, pool) && agree;
    if (!agree) std::printf("\nDIFFERS by more than %g units of 2^-24\n", allowed_difference);
    return agree ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    return llama2c::guarded_main("shared_prefix", usage, argc, argv, [](int c, char** v) { return run(parse(c, v)); });
}
