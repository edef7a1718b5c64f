// SPDX-License-Identifier: MIT
// The model's caches: of any element, in pages or not, with one thread or two, of one sequence or of many.
#include "stories260k.hpp"

#include <heed/executor/threads.hpp>

using namespace llama2c;
using namespace stories260k;

namespace {

struct stories260k_model {
    checkpoint model{read_file(folder + "stories260K.bin"), "model"};
    tokenizer words{read_file(folder + "tok512.bin"), model.c.vocabulary, "tokenizer"};
    std::vector<int> golden = golden_tokens(), prompt = words.encode("Once upon a time");
};

std::size_t common_prefix(const std::vector<int>& a, const std::vector<int>& b)
{
    return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// What a cache must do on this model. Measured are, of golden ids in common and as perplexity of the golden text,
///
///     f32  256 1.5774    int8 119 1.5825    q5_1 36 1.6649    q4_0   20 3.0537
///     bf16 256 1.5780    fp8   49 1.5982    q5_0 13 1.7953    iq4_nl 15 2.1040
///     f16  256 1.5774    q8_0 119 1.5835    q4_1 26 2.2935    mxfp4  13 3.1296
///
/// Heads of 8 channels leave little to average the errors of 4 bits. Allowed are at least five times the difference (of
/// 4 bits: twice) and half of the prefix or less, as a near tie that another machine's matrix products decide otherwise
/// ends it.
struct expectation {
    element as;
    std::size_t prefix;
    double worse_by;
};
constexpr expectation expected[] = {{element::f32, 256, 1},    {element::bf16, 64, 1.003}, {element::f16, 64, 1.0005},
                                    {element::int8, 48, 1.02}, {element::fp8, 24, 1.07},   {element::q8_0, 48, 1.02},
                                    {element::q5_1, 18, 1.28}, {element::q5_0, 6, 1.7},    {element::q4_1, 12, 1.91},
                                    {element::q4_0, 8, 3},     {element::iq4_nl, 7, 1.67}, {element::mxfp4, 6, 3}};
static_assert(std::size(expected) == std::size(element_names));

/// Rounds rows of keys and values, each head of them by itself, and keeps them as floats.
class rounded_attention : public cached_attention {
public:
    using rounding = void (*)(float* x, int64 n);

    rounded_attention(std::unique_ptr<cached_attention> of, const config& c, rounding round)
        : of_(std::move(of)), head_dim_(c.head_dim()), round_(round)
    {}
    int64 sequences() const override { return of_->sequences(); }
    int64 length(int64 sequence) const override { return of_->length(sequence); }
    void extend(const std::vector<int64>& tokens) override { of_->extend(tokens); }
    void attend(int64 layer, matrix& q, matrix k, matrix v) override
    {
        for (matrix* rows : {&k, &v})
            for (int64 i = 0; i < rows->size(); i += head_dim_) round_(rows->data() + i, head_dim_);
        of_->attend(layer, q, std::move(k), std::move(v));
    }
    void release(int64 sequence) override { of_->release(sequence); }
    cache_size size() const override { return of_->size(); }

private:
    std::unique_ptr<cached_attention> of_;
    int64 head_dim_;
    rounding round_;
};

float largest(const float* x, int64 n, float sign)
{
    float most = 0;
    for (int64 i = 0; i < n; ++i) most = std::max(most, sign * x[i]);
    return most;
}

void round_to(float* x, int64 n, float step, float low, float high)
{
    for (int64 i = 0; i < n; ++i) x[i] = step * std::clamp(std::nearbyint(x[i] / step), low, high);
}

/// To whole numbers from -end to end - 1, or turned around so that the longer end is the number of largest magnitude.
void round_to_longer_end(float* x, int64 n, float end)
{
    const float high = largest(x, n, 1), low = largest(x, n, -1), sign = high > low ? -1.f : 1.f;
    const float step = heed::f16(std::max(std::max(high, low) / end, std::min(high, low) / (end - 0.5f)));
    round_to(x, n, sign * step, -end, end - 1);
}

/// In equal steps from the least number to the largest.
void round_from_least(float* x, int64 n, float steps)
{
    const float least = *std::min_element(x, x + n), step = (*std::max_element(x, x + n) - least) / steps;
    for (int64 i = 0; i < n; ++i) x[i] = heed::f16(step) * std::floor((x[i] - least) / step + 0.5f) + heed::f16(least);
}

/// To the nearest of these levels, in steps.
template <std::size_t N>
float nearest_level(const float (&levels)[N], float x)
{
    return *std::min_element(levels, levels + N, [x](float a, float b) { return std::abs(a - x) < std::abs(b - x); });
}

/// The number of largest magnitude becomes -127, each the nearest level of the table, and the step that of least
/// squares, weighted by x^2.
void round_to_iq4_nl(float* x, int64 n)
{
    constexpr float levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const float most = *std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
    double products = 0, squares = 0;
    std::vector<float> level;
    for (int64 i = 0; i < n; ++i) {
        level.push_back(nearest_level(levels, x[i] / (most / -127)));
        const double of = static_cast<double>(level.back()), number = static_cast<double>(x[i]);
        products += number * number * of * number;
        squares += number * number * of * of;
    }
    for (int64 i = 0; i < n; ++i)
        x[i] = heed::f16(static_cast<float>(products / squares)) * level[static_cast<std::size_t>(i)];
}

/// Two bits of exponent and one behind the point, times the power of two that has the largest number from 4 to below 8.
void round_to_mxfp4(float* x, int64 n)
{
    constexpr float levels[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const float step = std::ldexp(1.f, std::ilogb(std::max(largest(x, n, 1), largest(x, n, -1))) - 2);
    for (int64 i = 0; i < n; ++i) x[i] = step * nearest_level(levels, x[i] / step);
}

/// Three bits behind the point, and no exponent below -6; ties to even.
float rounded_to_e4m3(float x)
{
    int exponent = 0;
    std::frexp(x, &exponent);
    const float step = std::ldexp(1.f, std::max(exponent - 1, -6) - 3);
    return step * std::nearbyint(x / step);
}

/// What rounds as an element does, in plain loops.
rounded_attention::rounding rounding_of(element as)
{
    using heed::f16;
    switch (as) {
    case element::bf16:
        return [](float* x, int64 n) { std::transform(x, x + n, x, [](float y) { return heed::bf16(y); }); };
    case element::f16: return [](float* x, int64 n) { std::transform(x, x + n, x, [](float y) { return f16(y); }); };
    case element::fp8:
        return [](float* x, int64 n) {
            const float scale = std::max(largest(x, n, 1), largest(x, n, -1)) / 448;
            if (scale > 0) std::transform(x, x + n, x, [&](float y) { return scale * rounded_to_e4m3(y / scale); });
        };
    case element::int8:
        return
            [](float* x, int64 n) { round_to(x, n, std::max(largest(x, n, 1), largest(x, n, -1)) / 127, -127, 127); };
    case element::q8_0:
        return [](float* x, int64 n) {
            round_to(x, n, f16(std::max(largest(x, n, 1), largest(x, n, -1)) / 127), -127, 127);
        };
    case element::q5_0: return [](float* x, int64 n) { round_to_longer_end(x, n, 16); };
    case element::q4_0: return [](float* x, int64 n) { round_to_longer_end(x, n, 8); };
    case element::q5_1: return [](float* x, int64 n) { round_from_least(x, n, 31); };
    case element::q4_1: return [](float* x, int64 n) { round_from_least(x, n, 15); };
    case element::iq4_nl: return round_to_iq4_nl;
    case element::mxfp4: return round_to_mxfp4;
    case element::f32: break;
    }
    return [](float*, int64) {};
}

/// A file that is removed at the end.
struct scratch_file {
    std::string path = (std::filesystem::temp_directory_path() / "heed-storyteller-caches.txt").string();

    explicit scratch_file(const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
    ~scratch_file() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("stories260K with caches of every element, in pages or not, with one thread and with two", "[stories260k]")
{
    if (!data_is_there()) return;
    const stories260k_model m;
    double f32 = 0;
    std::printf("stories260K, greedy   golden ids   perplexity of the golden text   bytes in pages of 16\n");
    for (const expectation& e : expected) {
        INFO(name_of(e.as));
        std::vector<int> first;
        double surprise = 0;
        int64 bytes = 0;
        for (const int64 page : {0, 1, 16})
            for (const int threads : {1, 2}) {
                INFO("page " << page << ", threads " << threads);
                heed::thread_pool pool(threads);
                const auto writing = softmax_over(m.model, {e.as, page}, pool);
                const std::vector<int> ids = greedy(m.model, *writing, m.prompt, 256);
                const auto reading = softmax_over(m.model, {e.as, page}, pool);
                const double p = perplexity(transformer(m.model, *reading).forward({m.golden}), m.golden);
                if (first.empty()) first = ids, surprise = p;
                REQUIRE(ids == first);
                REQUIRE_FALSE(p < surprise);
                REQUIRE_FALSE(p > surprise);
                bytes = writing->size().bytes;
                CHECK(writing->size().tokens == 255);
                CHECK(writing->size().room == (page == 0 ? 512 : page == 1 ? 255 : 256));
            }
        const std::size_t prefix = common_prefix(first, m.golden);
        std::printf("  %-20s%6zu%24.4f%29lld\n", name_of(e.as), prefix, surprise, static_cast<long long>(bytes));
        if (e.as == element::f32) {
            f32 = surprise;
            CHECK(f32 == Approx(1.5774).margin(1e-4));
        }
        CHECK(prefix >= e.prefix);
        CHECK(surprise <= f32 * e.worse_by);
        CHECK(surprise >= f32 * 0.999);
        rounded_attention rounded(softmax_over(m.model, {}, {}), m.model.c, rounding_of(e.as));
        CHECK(perplexity(transformer(m.model, rounded).forward({m.golden}), m.golden) ==
              Approx(surprise).epsilon(0.002));
    }
}

TEST_CASE("the storyteller tells each story of a batch as it tells it alone", "[stories260k]")
{
    if (!data_is_there()) return;
    const std::vector<std::string> prompts{
        "Once upon a time", "Lily",
        "The big dog was sad because it had lost its ball in the park and could not find it", "Tom and Sue",
        "One day, a girl"};
    std::string lines;
    for (const auto& p : prompts) lines += p + "\n";
    const scratch_file batch(lines);
    for (const std::string how :
         {"--tokens 40", "--tokens 600", "--tokens 600 --page 16 --threads 2",
          "--tokens 60 --page 16 --temperature 0.8 --seed 5", "--tokens 24 --cache int8 --page 16",
          "--tokens 24 --cache bf16 --ids", "--tokens 24 --cache fp8 --page 16", "--tokens 0",
          "--tokens 60 --normalizer relu2"}) {
        INFO(how);
        std::string alone;
        for (const auto& p : prompts)
            alone += (alone.empty() ? "" : "\n") + tell(files + "--prompt '" + p + "' " + how + " 2>/dev/null").first;
        CHECK(tell(files + "--batch " + batch.path + " " + how + " 2>/dev/null") == std::pair{alone, 0});
    }
}

TEST_CASE("the storyteller's caches on the command line", "[stories260k]")
{
    if (!data_is_there()) return;
    const std::string few = files + "--tokens 20 ";
    const auto says = [](const std::string& arguments, const std::string& text) {
        const auto [all, code] = tell(arguments);
        INFO(all);
        REQUIRE(code == 0);
        REQUIRE(all.find(text) != std::string::npos);
    };
    says(few, "tokens/s; cache f32: 20 of 512 tokens in 655360 bytes\n");
    says(few + "--cache int8 --page 16",
         "cache int8, 16 tokens a page: 20 of 32 tokens in 15360 bytes, 40960 in f32\n");
    says(few + "--cache q4_0 --page 1", "cache q4_0, 1 token a page: 20 of 20 tokens in 14400 bytes, 25600 in f32\n");
    for (const std::string name : {"softmax1", "softmax_sink", "softpick"})
        for (const char* as : element_names)
            says(few + "--page 8 --normalizer " + name + " --cache " + as, "20 of 24 tokens");
    const std::vector<char> story = read_file(folder + "golden_story.txt");
    const scratch_file text({story.begin(), story.end()});
    says(files + "--score " + text.path, "perplexity 1.5");
    says(files + "--score " + text.path + " --cache q8_0 --page 64", "perplexity 1.5");

    refused(few + "--cache int4",
            "--cache int4: is none of f32, bf16, f16, int8, fp8, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, mxfp4");
    refused(few + "--page 0", "--page 0: a whole number from 1 to 4096");
    refused(few + "--page 4097", "--page 4097: a whole number");
    refused(few + "--cache q8_0 --normalizer relu1", "--cache: relu1 has caches of f32 without pages");
    refused(few + "--page 4 --normalizer sigmoid", "--page: sigmoid has caches of f32 without pages");
    refused(few + "--batch /nowhere", "/nowhere: cannot be opened");
    refused(few + "--prompt Tom --batch /nowhere", "--prompt and --batch: one is possible");
    refused(files + "--score", "--score: needs a value");
    refused(files + "--score /nowhere", "/nowhere: cannot be opened");
    const auto refused_file = [&](const std::string& option, const std::string& content, const std::string& why) {
        const scratch_file bad(content);
        refused(files + option + " " + bad.path, bad.path + ": " + why);
    };
    std::string days;
    for (int i = 0; i < 1000; ++i) days += " day";
    refused_file("--batch", "", "cannot be read or is empty");
    refused_file("--batch", "Tom\n\nSue\n", "line 2: is empty");
    refused_file("--batch", "Tom\n" + days, "line 2: 1002 tokens, the model's context has 512");
    refused_file("--score", "\n", "has no text");
    refused_file("--score", days, "1002 tokens, the model's context has 512");
}
