// SPDX-License-Identifier: MIT
// The forms of the model's attention that change no bit, or little: layouts of caches, products, and chosen keys.
#include "stories260k.hpp"

#include <cstring>
#include <map>
#include <random>
#include <set>

using namespace llama2c;
using namespace stories260k;

namespace {

/// Calls f(form) for each element and class of products that softmax has.
template <class F>
void for_each_softmax(F f)
{
    for (std::size_t e = 0; e < std::size(element_names); ++e)
        for (std::size_t p = 0; p < std::size(products_names); ++p) {
            attention_form form;
            form.as = static_cast<element>(e);
            form.multiply = static_cast<products>(p);
            INFO(element_names[e] << ", products of " << products_names[p]);
            if (why_not("softmax", form).empty()) f(form);
        }
}

bool same_bits(const matrix& a, const matrix& b)
{
    return a.rows() == b.rows() && a.cols() == b.cols() &&
           std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

/// Logits of all positions but the last `told`, in one call, and of these one by one.
matrix logits_of(const checkpoint& model, const attention_form& form, const std::vector<int>& ids, int told)
{
    const auto attention = softmax_over(model, form, {});
    transformer story(model, *attention);
    const std::vector<int> prompt(ids.begin(), ids.end() - told);
    matrix logits(static_cast<Eigen::Index>(ids.size()), model.c.vocabulary);
    logits.topRows(static_cast<Eigen::Index>(prompt.size())) = story.forward({prompt});
    for (std::size_t i = prompt.size(); i < ids.size(); ++i)
        logits.row(static_cast<Eigen::Index>(i)) = story.forward({{ids[i]}});
    return logits;
}

/// Random rows of some tokens of one layer: queries, keys and values.
struct random_rows {
    matrix q, k, v;

    random_rows(const config& c, int64 tokens, unsigned seed)
        : q(tokens, c.dim), k(tokens, c.kv_dim()), v(tokens, c.kv_dim())
    {
        std::mt19937_64 random(seed);
        for (matrix* rows : {&q, &k, &v})
            for (float& x : rows->reshaped()) x = std::normal_distribution<float>()(random);
    }
    matrix attend(cached_attention& attention, int64 first, int64 n) const
    {
        matrix out = q.middleRows(first, n);
        attention.extend({n});
        attention.attend(0, out, k.middleRows(first, n), v.middleRows(first, n));
        return out;
    }
};

constexpr config small{48, 64, 1, 6, 2, 512, 96, true};

/// The blocks of keys that a row attends for a kv head: its own, and of those before it the most promising.
std::set<int64> chosen_blocks(const random_rows& r, int64 row, int64 head, int64 most, int64 block)
{
    const int64 group = small.heads / small.kv_heads, dim = small.head_dim();
    std::vector<std::pair<double, int64>> before;
    for (int64 n = 0; n < row / block; ++n) {
        double score = 0;
        for (int64 g = head * group; g < (head + 1) * group; ++g)
            for (int64 c = 0; c < dim; ++c) {
                const auto keys = r.k.col(head * dim + c).segment(n * block, block).cast<double>();
                const double q = static_cast<double>(r.q(row, g * dim + c));
                score += std::max(q * keys.minCoeff(), q * keys.maxCoeff());
            }
        before.emplace_back(-score, n);
    }
    std::sort(before.begin(), before.end());
    std::set<int64> chosen{row / block};
    for (const auto& [score, n] : before)
        if (static_cast<int64>(chosen.size()) < most) chosen.insert(n);
    return chosen;
}

/// Softmax over the keys of these blocks up to the row's own, in double.
Eigen::RowVectorXd attended(const random_rows& r, int64 row, int64 query_head, const std::set<int64>& blocks,
                            int64 block)
{
    const int64 dim = small.head_dim(), head = query_head / (small.heads / small.kv_heads);
    const Eigen::MatrixXd q = r.q.cast<double>(), k = r.k.cast<double>(), v = r.v.cast<double>();
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(dim);
    double mass = 0;
    for (int64 j = 0; j <= row; ++j) {
        if (!blocks.count(j / block)) continue;
        const double dot = q.row(row).segment(query_head * dim, dim).dot(k.row(j).segment(head * dim, dim)),
                     weight = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        sum += weight * v.row(j).segment(head * dim, dim);
        mass += weight;
    }
    return sum / mass;
}

}  // namespace

TEST_CASE("stories260K has the same logits, to the bit, whichever layout its caches have", "[stories260k]")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    std::vector<int> ids = golden_tokens();
    ids.resize(160);
    int forms = 0;
    for_each_softmax([&](attention_form form) {
        ++forms;
        for (const int64 page : {0, 16}) {
            form.page = page;
            form.order = layout::head;
            const matrix by_head = logits_of(model, form, ids, 60);
            form.order = layout::token;
            CHECK(same_bits(logits_of(model, form, ids, 60), by_head));
        }
    });
    REQUIRE(forms >= 12 + 6);  // every element with floats, and three with two classes of integers
}

TEST_CASE("stories260K that attends as many keys as its context has, or more, has the logits of all keys",
          "[stories260k]")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const std::vector<int> ids = golden_tokens();
    for (const element as : {element::f32, element::q8_0}) {
        attention_form form;
        form.as = as;
        const matrix dense = logits_of(model, form, ids, 40);
        const double surprise = perplexity(dense, ids);
        for (const int64 block : {1, 16, 512})
            for (const layout order : {layout::head, layout::token}) {
                INFO(name_of(as) << ", blocks of " << block);
                form.order = order;
                form.block = block;
                form.select = (model.c.context + block - 1) / block;
                CHECK(same_bits(logits_of(model, form, ids, 40), dense));
                form.select = 4096;
                CHECK(same_bits(logits_of(model, form, ids, 40), dense));
            }
        form.block = 1;
        double before = 1e9;
        for (const int64 keys : {1, 4, 16, 64}) {  // fewer keys are other text, and more of them bring it back
            form.select = keys;
            const double few = perplexity(logits_of(model, form, ids, 40), ids);
            std::printf("stories260K, %s, %lld keys of %zu: perplexity %.4f\n", name_of(as),
                        static_cast<long long>(keys), ids.size(), few);
            CHECK(std::abs(few - surprise) < before);
            before = std::abs(few - surprise);
        }
        CHECK(before > 0);
        CHECK(before < 0.02 * surprise);
    }
}

TEST_CASE("a row attends the keys that plain loops choose for it, in a prompt and when it is told")
{
    const random_rows r(small, 90, 1);
    for (const int64 block : {1, 5, 16})
        for (const int64 most : {1, 3, 6}) {
            INFO(most << " blocks of " << block);
            attention_form form;
            form.block = block;
            form.select = most;
            const auto whole = make_attention("softmax", {}, small, form, {}),
                       stepwise = make_attention("softmax", {}, small, form, {});
            const matrix out = r.attend(*whole, 0, 90);
            double error = 0;
            for (int64 i = 0; i < 90; ++i)
                for (int64 h = 0; h < small.heads; ++h) {
                    const auto blocks = chosen_blocks(r, i, h / (small.heads / small.kv_heads), most, block);
                    const auto difference = attended(r, i, h, blocks, block) -
                                            out.row(i).segment(h * small.head_dim(), small.head_dim()).cast<double>();
                    error = std::max(error, difference.cwiseAbs().maxCoeff());
                }
            CHECK(error < 1e-5);
            matrix steps(90, small.dim);
            steps.topRows(33) = r.attend(*stepwise, 0, 33);
            for (int64 i = 33; i < 90; ++i) steps.row(i) = r.attend(*stepwise, i, 1);
            CHECK(same_bits(steps, out));
        }
}

TEST_CASE("sequences of a batch choose keys as each does alone, whatever their lengths")
{
    const random_rows a(small, 70, 2), b(small, 25, 3);
    attention_form form;
    form.select = 4;
    form.block = 3;
    const auto alone_a = make_attention("softmax1", {}, small, form, {}),
               alone_b = make_attention("softmax1", {}, small, form, {});
    form.sequences = 2;
    const auto both = make_attention("softmax1", {}, small, form, {});
    const auto together = [&](int64 first_a, int64 n_a, int64 first_b, int64 n_b) {
        const auto rows = [&](const matrix& of_a, const matrix& of_b) {
            matrix all(n_a + n_b, of_a.cols());
            all << of_a.middleRows(first_a, n_a), of_b.middleRows(first_b, n_b);
            return all;
        };
        matrix q = rows(a.q, b.q);
        both->extend({n_a, n_b});
        both->attend(0, q, rows(a.k, b.k), rows(a.v, b.v));
        matrix expected(n_a + n_b, small.dim);
        if (n_a > 0) expected.topRows(n_a) = a.attend(*alone_a, first_a, n_a);
        if (n_b > 0) expected.bottomRows(n_b) = b.attend(*alone_b, first_b, n_b);
        CHECK(same_bits(q, expected));
    };
    together(0, 60, 0, 11);
    together(60, 1, 11, 1);
    together(61, 8, 12, 0);
    both->release(0);
    together(0, 0, 12, 13);
}

TEST_CASE("what has no kernels is refused with the option and what there is instead", "[stories260k]")
{
    if (!data_is_there()) return;
    const std::string few = files + "--tokens 20 ";
    refused(few + "--layout rows", "--layout rows: is none of head, token");
    refused(few + "--products int4", "--products int4: is none of float, bf16, int8, int8_by8");
    refused(few + "--products int8", "--products int8: multiplies caches of int8, q8_0 and q4_0, not of f32");
    refused(few + "--products int8_by8 --cache q5_0",
            "--products int8_by8: multiplies caches of int8, q8_0 and q4_0, not of q5_0");
    refused(few + "--products bf16 --cache q8_0", "--products bf16: multiplies a cache of bf16, not of q8_0");
    refused(few + "--products int8 --cache q8_0 --normalizer softpick",
            "--products int8: is there for softmax, softmax1, softmax_sink and sink, not for softpick");
    refused(few + "--select 0", "--select 0: a whole number from 1 to 1048576");
    refused(few + "--select 4 --cache bf16", "--select: chooses among keys of f32 and q8_0, not of bf16");
    refused(few + "--select 4 --cache q8_0 --products int8", "--select: has products of floats, not --products int8");
    refused(few + "--select 4 --normalizer relu1",
            "--select: is there for softmax, softmax1, softmax_sink and sink, not for relu1");
    refused(few + "--block 16", "--block: needs --select");
    refused(few + "--select 4 --block 513", "--block 513: a whole number from 1 to 512");
    refused(files + "--compare", "--compare: needs a value");
    refused(files + "--compare ''", "--compare: needs the name of a file");
    refused(files + "--compare /nowhere", "/nowhere: cannot be opened");
    refused(files + "--compare " + folder + "golden_story.txt --page 4 --normalizer sigmoid",
            "--page: sigmoid has caches of f32 without pages");
    refused(files + "--compare /nowhere --cache f32", "--cache: --compare has a line or column for each");
    refused(few + "--tokens 30", "--tokens: is given twice");
    refused(files + "--compare /nowhere --score /nowhere", "--compare and --score: one is possible");
    for (const std::string option : {"--tokens 20", "--ids", "--temperature 1", "--seed 1"})
        refused(files + "--score /nowhere " + option, ": is for stories, and --score tells none");
    attention_form form;
    form.as = element::bf16;
    form.multiply = products::bf16;
    CHECK(why_not("softmax", form).empty() == heed::simd::has_bf16_dots);
    for (const std::string how : {"--layout token", "--cache int8 --products int8", "--select 512 --block 1"}) {
        const auto told = tell(few + how + " --prompt 'Once upon a time' 2>/dev/null");
        INFO(how);
        CHECK(told.second == 0);
        CHECK(told.first.rfind("Once upon a time, there was a little girl named Lily.", 0) == 0);
    }
}

TEST_CASE("the storyteller's table has the perplexity of every cache and product", "[stories260k]")
{
    if (!data_is_there()) return;
    const std::string text = folder + "golden_story.txt";
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const tokenizer words(read_file(folder + "tok512.bin"), model.c.vocabulary, "tokenizer");
    const std::vector<char> bytes = read_file(text);
    const std::vector<int> ids = words.encode({bytes.begin(), bytes.end() - (bytes.back() == '\n')});
    const auto [table, code] = tell(files + "--compare " + text);
    INFO(table);
    std::printf("%s", table.c_str());
    REQUIRE(code == 0);
    std::istringstream lines(table);
    std::string line, title, empty, head;
    std::getline(lines, title);
    std::getline(lines, empty);
    std::getline(lines, head);
    const std::size_t tokens = ids.size() - 1;
    CHECK(title ==
          "perplexity of " + std::to_string(tokens) + " tokens, and how much more than with f32 and products of float");
    CHECK(empty.empty());

    // The number under a heading ends where the heading does.
    const auto number_of = [&](const std::string& row, const std::string& heading) {
        const std::size_t end = head.find(" " + heading) + 1 + heading.size();
        REQUIRE(end <= row.size());
        const std::size_t start = row.rfind(' ', end - 1) + 1;
        return row.substr(start, end - start);
    };
    std::map<std::string, std::string> rows;
    while (std::getline(lines, line) && !line.empty()) {
        CHECK(line.back() != ' ');
        rows[line.substr(0, line.find(' '))] = line;
    }
    CHECK(std::getline(lines, line));
    CHECK(line == "Heads have 8 channels: blocks, of q8_0 and below, are filled up to a multiple of 32.");
    REQUIRE(rows.size() == std::size(element_names));
    const auto of = [&](const std::string& as, const std::string& by = "float") {
        INFO(as << " by " << by);
        const std::string number = number_of(rows.at(as), by);
        REQUIRE(number.size() == 6);
        return std::stod(number);
    };
    const double f32 = of("f32");
    CHECK(f32 == Approx(perplexity(logits_of(model, {}, ids, 0), ids)).margin(0.5001e-4));
    for (const char* as : element_names) CHECK(of(as) >= 0.999 * f32);
    CHECK(number_of(rows.at("f32"), "int8") == "-");
    CHECK(number_of(rows.at("q5_0"), "int8_by8") == "-");
    CHECK((number_of(rows.at("bf16"), "bf16") != "-") == heed::simd::has_bf16_dots);
    const auto off = [&](const std::string& as) { return std::abs(of(as) - f32); };
    CHECK(off("f16") <= off("bf16"));
    CHECK(off("bf16") < off("q8_0"));
    CHECK(off("int8") < off("fp8"));
    CHECK(off("q8_0") < off("q5_0"));
    CHECK(off("q5_0") < off("q4_0"));
    CHECK(off("q5_1") < off("q4_1"));
    // What products round decides some roundings in the caches of later layers: how far off a text is in the end is
    // chance where they are coarse. The errors themselves are in the test below.
    double by16 = 0, by8 = 0;
    for (const std::string as : {"int8", "q8_0", "q4_0"}) {
        by16 += std::abs(of(as, "int8") - of(as)) / of(as);
        by8 += std::abs(of(as, "int8_by8") - of(as)) / of(as);
    }
    CHECK(by16 < 0.02);
    CHECK(by8 > by16);
    CHECK(by8 < 0.2);
    CHECK(tell(files + "--compare " + text + " --layout token --page 16 --threads 2").first == table);
    const auto [relu, status] = tell(files + "--compare " + text + " --normalizer relu1");
    CHECK(status == 0);
    CHECK(std::count(relu.begin(), relu.end(), '\n') == 6);  // f32 alone
}

TEST_CASE("products of integers err by what their operands are rounded to")
{
    const random_rows r(small, 90, 4);
    for (const element as : {element::int8, element::q8_0, element::q4_0}) {
        INFO(name_of(as));
        attention_form form;
        form.as = as;
        const auto with = [&](products p) {
            form.multiply = p;
            return r.attend(*make_attention("softmax", {}, small, form, {}), 0, 90);
        };
        const matrix by_floats = with(products::floats);
        const auto error = [&](products p) {  // normalised squared
            return static_cast<double>((with(p) - by_floats).squaredNorm() / by_floats.squaredNorm());
        };
        const double by16 = error(products::int8), by8 = error(products::int8_by8);
        std::printf("products of int8, cache of %s: normalised squared error %.1e by 16 bits, %.1e by 8\n", name_of(as),
                    by16, by8);
        CHECK(by16 > 0);
        CHECK(by16 < 1e-7);
        CHECK(by8 > 100 * by16);
        CHECK(by8 < 1e-2);
    }
}
