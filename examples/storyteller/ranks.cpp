// SPDX-License-Identifier: MIT
// Ranks over MPI. Rank 0 gives orders, each before it carries it out itself; the others carry out what they are told.
#include "ranks.hpp"
#include "softmaxes.hpp"

#include <heed/adapt/mpi.hpp>
#include <heed/executor/threads.hpp>

#include <algorithm>
#include <cstdio>

namespace llama2c {
namespace {

enum class order : int64 { stop, make, extend, attend, release };

/// The numbers of rank 0, on each rank.
template <class T>
void share(std::vector<T>& numbers)
{
    auto n = static_cast<int64>(numbers.size());
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    numbers.resize(static_cast<std::size_t>(n));
    MPI_Bcast(numbers.data(), static_cast<int>(n * static_cast<int64>(sizeof(T))), MPI_BYTE, 0, MPI_COMM_WORLD);
}

void tell(order what, const std::vector<int64>& numbers = {})
{
    std::vector<int64> words{static_cast<int64>(what)};
    words.insert(words.end(), numbers.begin(), numbers.end());
    share(words);
}

/// All ranks, and the first n of them.
struct all_ranks {
    int rank = 0, size = 1;
    std::vector<MPI_Comm> first;  // [n - 1]

    all_ranks()
    {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_size(MPI_COMM_WORLD, &size);
        first.resize(static_cast<std::size_t>(size));
        for (int last = 0; last < size; ++last)
            MPI_Comm_split(MPI_COMM_WORLD, rank <= last ? 0 : MPI_UNDEFINED, rank,
                           &first[static_cast<std::size_t>(last)]);
    }
    all_ranks(const all_ranks&) = delete;
    all_ranks& operator=(const all_ranks&) = delete;
    ~all_ranks()
    {
        for (MPI_Comm& c : first)
            if (c != MPI_COMM_NULL) MPI_Comm_free(&c);
    }
};

/// What attention is made of on each rank.
struct attention_parts {
    std::string normalizer;
    sidecar beside;
    config model;
    attention_form form;
    combining how;
};

/// Attention on one rank to its keys, and to those of the others with them. Rank 0 has the rows of q, k and v; on the
/// others they may be empty. Ranks whose spans no sequence has reached take no part.
template <class Normalizer>
class attention_on_ranks final : public cached_attention {
public:
    attention_on_ranks(const all_ranks& ranks, const attention_parts& of, of_layers<Normalizer> with,
                       heed::executor_ref executor)
        : ranks_(ranks), c_(of.model), with_(std::move(with)), executor_(executor), how_(of.how),
          lengths_(static_cast<std::size_t>(of.form.sequences)), mine_(span_of(ranks.rank)),
          cache_(of_span(of.model, mine_), of.form)
    {}

    int64 sequences() const override { return static_cast<int64>(lengths_.size()); }
    int64 length(int64 sequence) const override { return lengths_[static_cast<std::size_t>(sequence)]; }

    void extend(const std::vector<int64>& tokens) override
    {
        if (is_first()) tell(order::extend, tokens);
        std::vector<int64> here;
        bounds_.assign(1, 0);
        for (std::size_t b = 0; b < tokens.size(); ++b) {
            here.push_back(held(lengths_[b] + tokens[b]) - held(lengths_[b]));
            lengths_[b] += tokens[b];
            bounds_.push_back(bounds_.back() + tokens[b]);
        }
        cache_.extend(here);
        most_tokens_ = std::max(most_tokens_, std::accumulate(lengths_.begin(), lengths_.end(), int64{0}));
    }

    void attend(int64 layer, matrix& q, matrix k, matrix v) override
    {
        if (is_first()) tell(order::attend, {layer});
        const int64 longest = *std::max_element(lengths_.begin(), lengths_.end()), rows = bounds_.back();
        int last = 0;
        while (last + 1 < ranks_.size && span_of(last + 1).first < longest) ++last;
        if (ranks_.rank > last) return;
        append(layer, k, v);
        if (!is_first()) q.resize(rows, c_.dim);
        std::vector<int64> positions(lengths_);
        for (std::size_t b = 0; b < positions.size(); ++b) positions[b] -= bounds_[b + 1] - bounds_[b];
        heed::mpi::options how;
        how.comm = ranks_.first[static_cast<std::size_t>(last)];
        how.executor = executor_;
        how.combine = how_ == combining::order ? heed::mpi::combine::in_order : heed::mpi::combine::as_tree;
        how.queries_from = 0;
        const auto out = heed::bshd(q.data(), {1, c_.heads, rows, c_.head_dim()});
        const heed::attention def{
            with_.normalizers[with_.normalizers.size() == 1 ? 0 : static_cast<std::size_t>(layer)], heed::causal{},
            heed::query_offset{positions}, heed::scale{1 / std::sqrt(static_cast<double>(c_.head_dim()))}};
        const heed::status s = heed::mpi::attend(def, heed::packed<float>{out, bounds_}, cache_.source(layer), out,
                                                 {mine_.first, longest, 1}, how);
        if (is_first()) heed::or_throw(s);  // with the sentence of the rank that has it
    }

    void release(int64 sequence) override
    {
        if (is_first()) tell(order::release, {sequence});
        lengths_[static_cast<std::size_t>(sequence)] = 0;
        cache_.release(sequence);
    }

    /// Of all ranks.
    cache_size size() const override
    {
        const int64 room = sequences() * c_.context,
                    bytes = 2 * static_cast<int64>(sizeof(float)) * c_.layers * room * c_.kv_dim();
        return {most_tokens_, room, bytes, bytes};
    }

private:
    static config of_span(config c, const heed::token_span& span)
    {
        c.context = span.end - span.first;
        return c;
    }
    bool is_first() const { return ranks_.rank == 0; }
    heed::token_span span_of(int rank) const { return heed::mpi::part_of(c_.context, rank, ranks_.size); }
    /// How many of the first tokens of a sequence this rank has.
    int64 held(int64 tokens) const { return std::clamp(tokens - mine_.first, int64{0}, mine_.end - mine_.first); }

    /// The tokens [first, end) of a sequence that a rank has; none where its end is not behind its first.
    heed::token_span in_span(int rank, int64 first, int64 end) const
    {
        const heed::token_span span = span_of(rank);
        return {std::max(first, span.first), std::min(end, span.end)};
    }
    void send(const matrix& rows, int64 first, int64 n, int rank) const
    {
        MPI_Send(rows.row(first).data(), static_cast<int>(n * c_.kv_dim()), MPI_FLOAT, rank, 0, MPI_COMM_WORLD);
    }
    void receive(matrix& rows, int64 n) const
    {
        rows.resize(n, c_.kv_dim());
        MPI_Recv(rows.data(), static_cast<int>(rows.size()), MPI_FLOAT, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    /// Appends the new rows of rank 0 to the caches of the ranks whose spans they are in.
    void append(int64 layer, matrix& k, matrix& v)
    {
        for (int64 b = 0; b < sequences(); ++b) {
            const int64 begin = bounds_[static_cast<std::size_t>(b)], end = length(b),
                        first = end - (bounds_[static_cast<std::size_t>(b) + 1] - begin);
            for (int rank = 1; is_first() && rank < ranks_.size; ++rank)
                if (const auto of = in_span(rank, first, end); of.first < of.end)
                    for (const matrix* rows : {&k, &v}) send(*rows, begin + of.first - first, of.end - of.first, rank);
            const auto [from, to] = in_span(ranks_.rank, first, end);
            const int64 n = to - from;
            if (n <= 0) continue;
            if (!is_first())
                for (matrix* rows : {&k, &v}) receive(*rows, n);
            const int64 at = is_first() ? begin + from - first : 0;
            const heed::extents e{1, c_.kv_heads, n, c_.head_dim()};
            heed::or_throw(heed::append(cache_.source(layer), b, from - mine_.first,
                                        heed::bshd<const float>(k.row(at).data(), e),
                                        heed::bshd<const float>(v.row(at).data(), e)));
        }
    }

    const all_ranks& ranks_;
    const config c_;
    const of_layers<Normalizer> with_;
    heed::executor_ref executor_;
    const combining how_;
    std::vector<int64> lengths_, bounds_;  // bounds_: of the rows of the tokens that are being added
    const heed::token_span mine_;
    contiguous_cache cache_;
    int64 most_tokens_ = 0;
};

std::unique_ptr<cached_attention> make(const all_ranks& ranks, const attention_parts& of, heed::executor_ref executor)
{
    if (of.normalizer == "softpick")
        return std::make_unique<attention_on_ranks<heed::softpick>>(ranks, of, of_layers<heed::softpick>{{{}}},
                                                                    executor);
    of_layers<heed::softmax_sink> softmax = softmax_named(of.normalizer, of.beside, of.model);
    if (softmax.normalizers.empty())
        throw input_error("--ranks: is there for softmax, softmax1, softmax_sink, sink and softpick, not for " +
                          of.normalizer);
    return std::make_unique<attention_on_ranks<heed::softmax_sink>>(ranks, of, std::move(softmax), executor);
}

/// The parts that rank 0 has, on each rank, and its number of threads.
void share(attention_parts& of, int& threads)
{
    config& c = of.model;
    std::vector<int64> numbers{c.dim,     c.hidden,          c.layers, c.heads,       c.kv_heads,          c.vocabulary,
                               c.context, of.form.sequences, threads,  int64(of.how), int64(of.form.order)};
    std::vector<char> name(of.normalizer.begin(), of.normalizer.end());
    std::vector<float> sinks;
    for (const auto& logits : of.beside.sinks) sinks.insert(sinks.end(), logits.begin(), logits.end());
    share(numbers);
    share(name);
    share(sinks);
    c = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], true};
    of.form.sequences = numbers[7];
    threads = static_cast<int>(numbers[8]);
    of.how = static_cast<combining>(numbers[9]);
    of.form.order = static_cast<layout>(numbers[10]);
    of.normalizer.assign(name.begin(), name.end());
    of.beside.sinks.clear();
    for (auto at = sinks.begin(); at != sinks.end(); at += c.heads) of.beside.sinks.emplace_back(at, at + c.heads);
}

class ranks_of_mpi final : public ranks {
public:
    explicit ranks_of_mpi(const all_ranks& all) : all_(all) {}

    int size() const override { return all_.size; }
    std::unique_ptr<cached_attention> make_attention(const std::string& normalizer, const sidecar& beside,
                                                     const config& model, const attention_form& form, combining how,
                                                     heed::executor_ref executor) override
    {
        attention_parts of{normalizer, beside, model, form, how};
        auto attention = make(all_, of, executor);  // throws before the others hear of it
        int threads = executor.concurrency();
        tell(order::make);
        share(of, threads);
        return attention;
    }

private:
    const all_ranks& all_;
};

/// Carries out the orders of rank 0.
void obey(const all_ranks& ranks)
{
    std::unique_ptr<heed::thread_pool> pool;
    std::unique_ptr<cached_attention> attention;
    for (;;) {
        std::vector<int64> words;
        share(words);
        switch (static_cast<order>(words[0])) {
        case order::stop: return;
        case order::make: {
            attention_parts of{};
            int threads = 0;
            share(of, threads);
            attention.reset();
            pool = std::make_unique<heed::thread_pool>(threads);
            attention = make(ranks, of, *pool);
            break;
        }
        case order::extend: attention->extend({words.begin() + 1, words.end()}); break;
        case order::attend: {
            matrix q;
            attention->attend(words[1], q, {}, {});
            break;
        }
        case order::release: attention->release(words[1]); break;
        }
    }
}

int run(const all_ranks& all, const std::function<int(ranks&)>& first)
{
    if (all.rank > 0) {
        obey(all);
        return 0;
    }
    ranks_of_mpi over(all);
    const int code = first(over);
    tell(order::stop);
    return code;
}

}  // namespace

int on_ranks(int argc, char** argv, const std::function<int(ranks&)>& first)
{
    MPI_Init(&argc, &argv);
    int code = 0;
    {
        const all_ranks all;
        try {
            code = run(all, first);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "storyteller: rank %d: %s\n", all.rank, e.what());
            MPI_Abort(MPI_COMM_WORLD, 2);  // the others wait for this rank
        }
    }
    MPI_Finalize();
    return code;
}

}  // namespace llama2c
