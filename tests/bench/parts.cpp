// SPDX-License-Identifier: MIT
// What heed-bench's numbers rest on: which pairs a case counts, what is planted, and when a peer is refused.
#include "ceilings.hpp"
#include "compare.hpp"
#include "file.hpp"
#include "inputs.hpp"
#include "race.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include <unistd.h>

using namespace bench;

namespace {

bench_case of(const std::string& mask, const std::string& sizes, const std::string& kv = "f32")
{
    return parsed("heed/prefill/softmax/" + kv + "/" + mask + "/" + sizes + "/t1");
}

std::string refusal(const std::string& name)
{
    bench_case c;
    return parse(name, c);
}

}  // namespace

TEST_CASE("a case counts the pairs that its mask attends, and no others")
{
    for (const std::string mask : {"all", "causal", "window1", "window7", "window1000", "documents1", "documents5"}) {
        const bool square = mask.rfind("documents", 0) == 0;
        const bench_case c = of(mask, square ? "b2_hq6_hkv3_sq23_skv23_d5x3" : "b2_hq6_hkv3_sq9_skv23_d5x3");
        INFO(mask);
        double pairs = 0;
        for (std::int64_t i = 0; i < c.queries; ++i) {
            const std::int64_t position = i + c.keys - c.queries;
            std::int64_t own_document = 0;
            if (square)
                while (c.document_begin(own_document + 1) <= position) ++own_document;
            for (std::int64_t j = 0; j < c.keys; ++j) {
                bool attends = mask == "all" || j <= position;
                if (c.mask == mask_kind::window) attends = attends && j > position - c.mask_size;
                if (square) attends = attends && j >= c.document_begin(own_document);
                pairs += attends;
                const span s = c.attended(i);
                REQUIRE(attends == (s.begin <= j && j < s.end));
            }
        }
        REQUIRE(c.flops() == 2 * (5 + 3) * 2 * 6 * pairs);
    }
}

TEST_CASE("backward counts five products a pair, and only heed has it")
{
    const std::string name = "backward/softmax/f32/causal/b1_hq4_hkv2_sq3_skv3_d8x4/t1";
    REQUIRE(parsed("heed/" + name).flops() == 2 * (3 * 8 + 2 * 4) * 4 * (1 + 2 + 3));
    std::string wrong;
    REQUIRE(implementation_of(parsed("heed/" + name), wrong));
    for (const std::string who : {"eigen", "fused", "observe", "dense"}) {
        REQUIRE_FALSE(implementation_of(parsed(who + "/" + name), wrong));
        REQUIRE_THAT(wrong, Catch::Contains(who + " has no backward"));
    }
    REQUIRE_FALSE(implementation_of(parsed("heed/backward/relu2/f32/all/b1_hq1_hkv1_sq2_skv2_d4/t1"), wrong));
    REQUIRE_THAT(wrong, Catch::Contains("softmax, softpick, sigmoid, relu1 and normalizers"));
}

TEST_CASE("rows above a bottom-right diagonal attend nothing")
{
    const bench_case c = of("causal", "b1_hq1_hkv1_sq5_skv3_d4");
    REQUIRE(c.attended(0).end == 0);
    REQUIRE(c.attended(1).end == 0);
    REQUIRE(c.attended(4).end == 3);
    REQUIRE(c.flops() == 2 * (4 + 4) * (0 + 0 + 1 + 2 + 3));
}

TEST_CASE("documents are of nearly equal length and together all keys")
{
    const bench_case c = of("documents7", "b1_hq1_hkv1_sq100_skv100_d4");
    REQUIRE(c.document_begin(0) == 0);
    REQUIRE(c.document_begin(7) == 100);
    for (int d = 0; d < 7; ++d) {
        const std::int64_t length = c.document_begin(d + 1) - c.document_begin(d);
        REQUIRE((length == 14 || length == 15));
    }
}

TEST_CASE("bytes are those of keys that any row attends")
{
    REQUIRE(of("all", "b1_hq4_hkv2_sq1_skv100_d8x4").kv_bytes() == 4 * 2 * 100 * 12);
    REQUIRE(of("window10", "b1_hq4_hkv2_sq1_skv100_d8x4").kv_bytes() == 4 * 2 * 10 * 12);
    REQUIRE(of("window10", "b1_hq4_hkv2_sq3_skv100_d8x4", "bf16").kv_bytes() == 2 * 2 * 12 * 12);
}

TEST_CASE("a name says what is wrong with it")
{
    const std::string sizes = "/b1_hq2_hkv2_sq4_skv8_d4/t1";
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/documents2" + sizes), Catch::Contains("as many queries as keys"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/documents9/b1_hq2_hkv2_sq8_skv8_d4/t1"),
                 Catch::Contains("more documents than the 8 keys"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/window0" + sizes), Catch::Contains("a size is 0"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/window" + sizes), Catch::Contains("windowN"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32_sparse100/all" + sizes), Catch::Contains("_sparseNN"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f16_native/all" + sizes), Catch::Contains("bf16_native"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/all/b1_hq2_hkv2_sq4_skv8_d4x0/t1"), Catch::Contains("a size is 0"));
}

TEST_CASE("as many keys have no positive score as were planted")
{
    for (const std::string type : {"f32", "bf16", "f16"})
        for (const int percent : {0, 50, 90, 99}) {
            const std::string kv = type + "_sparse" + (percent < 10 ? "0" : "") + std::to_string(percent);
            const bench_case c = of("all", "b1_hq8_hkv2_sq3_skv2000_d64", kv);
            const std::string found = planted(c);
            INFO(kv << ": " << found);
            REQUIRE(std::abs(std::stod(found) - percent) < 4);
        }
    REQUIRE(planted(of("all", "b1_hq8_hkv2_sq3_skv2000_d64")).empty());
}

TEST_CASE("a peer that computes something else is refused")
{
    const bench_case f32 = of("all", "b1_hq1_hkv1_sq1_skv1_d4"), bf16 = of("all", "b1_hq1_hkv1_sq1_skv1_d4", "bf16");
    const std::vector<float> heed{1, -2, 0.5f, 0};
    std::vector<float> peer = heed;
    REQUIRE(disagreement(f32, heed, peer).empty());
    peer[1] *= 1.00001f;
    REQUIRE(disagreement(f32, heed, peer).empty());
    peer[1] = heed[1] * 1.001f;
    REQUIRE_THAT(disagreement(f32, heed, peer), Catch::Contains("computes something else than heed"));
    REQUIRE(disagreement(bf16, heed, peer).empty());
    peer[1] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE_FALSE(disagreement(bf16, heed, peer).empty());
    peer.pop_back();
    REQUIRE_FALSE(disagreement(bf16, heed, peer).empty());
}

TEST_CASE("products of bf16 are a type of their own, in the bytes of bf16, and of no f32 peer")
{
    const std::string sizes = "b1_hq4_hkv2_sq1_skv100_d8x4";
    const bench_case native = of("all", sizes, "bf16_native"), widened = of("all", sizes, "bf16");
    REQUIRE((native.native && native.element == "bf16" && !widened.native));
    REQUIRE(native.kv_bytes() == widened.kv_bytes());
    REQUIRE(name_for("heed", native) == native.name);
    for (const implementation& who : implementations()) {
        const std::string wrong = refusal(who, native);
        INFO(who.name << ": " << wrong);
        if (who.name == "onednn") continue;  // multiplies bf16 where the CPU does
        if (who.name != "heed") REQUIRE_THAT(wrong, Catch::Contains(who.name + " has no bf16_native"));
        else if (heed::simd::has_bf16_dots) REQUIRE(wrong.empty());
        else REQUIRE_THAT(wrong, Catch::Contains("has no dot products of bf16"));
        REQUIRE(takes_part(who, {"", "", "", native}) == (who.name == "heed" && heed::simd::has_bf16_dots));
    }
    REQUIRE((bf16_dot_peak(1, 0.001) > 0) == heed::simd::has_bf16_dots);
}

TEST_CASE("who stands beside heed in a row for its own sake stands there alone, and in no other")
{
    const std::map<std::string, std::string> sections{{"the contract", "fused"},
                                                      {"observing", "observe"},
                                                      {"pages of 16", "dense"},
                                                      {"decode, K and V as [token]", "dense"},
                                                      {"prefill with a table", "policy"},
                                                      {"the same through compute_op", "compute_op"},
                                                      {"2 threads, one kv head", "compute_op"}};
    std::map<std::string, int> found;
    for (const suite_row& row : standard_suite(2)) {
        std::string only;  // who stands beside heed in this row, where it is not peers
        for (const auto& [section, who] : sections)
            if (row.section.rfind(section, 0) == 0) only = who;
        ++found[only];
        INFO(row.section << ", " << row.title);
        for (const implementation& who : implementations()) {
            if (who.name == "heed") continue;
            const bool alone = who.name == "fused" || who.name == "observe" || who.name == "dense" ||
                               who.name == "policy" || who.name == "compute_op";
            REQUIRE(who.is_peer() == !alone);
            if (alone || !only.empty()) REQUIRE(takes_part(who, row) == (who.name == only));
        }
    }
    REQUIRE(found["fused"] == 3);
    REQUIRE(found["observe"] == 3);
    REQUIRE(found["dense"] == 3 + 6 + 6);
    REQUIRE(found["policy"] == 8);
    REQUIRE(found["compute_op"] == 3 + 2);
}

TEST_CASE("a cache counts the bytes that it stores, and mixed sequences their own keys")
{
    const auto bytes = [](const std::string& kv) {
        return parsed("heed/decode/softmax/" + kv + "/all/b1_hq4_hkv2_sq1_skv10_d64/t1").kv_bytes();
    };
    REQUIRE(bytes("int8") == 2 * 10 * 2 * (64 + 4));
    REQUIRE(bytes("q8_0") == 2 * 10 * 2 * 2 * 34);
    REQUIRE(bytes("q4_0_page16") == 2 * 10 * 2 * 2 * 18);
    REQUIRE(bytes("fp8") == 2 * 10 * 2 * 64);
    REQUIRE(bytes("fp8_e5m2_page16") == bytes("fp8"));
    REQUIRE(bytes("bf16_page4") == 2 * 10 * 2 * 64 * 2);
    const bench_case mixed = parsed("heed/decode/softmax/f32_page16_mixed20/all/b3_hq4_hkv2_sq1_skv100_d64/t1");
    REQUIRE(mixed.kv_bytes() == 2 * (20 + 20 + 100) * 2 * 64 * 4);
    REQUIRE(mixed.flops() == 2 * 2 * 64 * 4 * (20 + 20 + 100));
    const bench_case random = parsed("heed/decode/softmax/f32_page16_random20/all/b3_hq4_hkv2_sq1_skv100_d64/t1");
    std::int64_t keys = 0;
    for (std::int64_t b = 0; b < 3; ++b) {
        REQUIRE(random.keys_of(b) >= 20);
        REQUIRE(random.keys_of(b) <= 100);
        keys += random.keys_of(b);
    }
    REQUIRE(random.keys_of(0) != random.keys_of(1));
    REQUIRE(random.kv_bytes() == static_cast<double>(2 * keys * 2 * 64 * 4));
}

TEST_CASE("pages, quantised and mixed caches compute what the same numbers in one piece do")
{
    const std::string shape = "/all/b2_hq4_hkv2_sq3_skv70_d64/t1";
    for (const std::string kv :
         {"f32_page16", "bf16_page16", "q8_0_page5", "q4_0_page1", "int8_page16", "fp8_page64", "fp8_e5m2_page7"}) {
        const bench_case c = parsed("heed/prefill/softmax/" + kv + shape);
        const contestant paged = make_over_cache(c), dense = make_dense(c);
        paged.run();
        dense.run();
        REQUIRE(paged.output() == dense.output());
    }
    for (const std::string lengths : {"mixed20", "random20"}) {
        INFO(lengths);
        const contestant ragged =
            make_over_cache(parsed("heed/decode/softmax/f32_page16_" + lengths + "/all/b3_hq2_hkv1_sq1_skv100_d64/t1"));
        ragged.run();
        const std::vector<float> out = ragged.output();
        REQUIRE(out.size() == 3 * 2 * 64);
        REQUIRE(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x) && x != 0; }));
    }
}

TEST_CASE("the suite is made of cases that parse, on no more threads than there are")
{
    const auto most_threads = [](const std::vector<suite_row>& rows) {
        int most = 0;
        for (const suite_row& r : rows) most = std::max(most, r.problem.threads);
        return most;
    };
    REQUIRE(most_threads(standard_suite(1)) == 1);
    REQUIRE(most_threads(standard_suite(2)) == 2);
    REQUIRE(most_threads(standard_suite(7)) == 4);
    double expected = 0;
    for (const suite_row& r : standard_suite(2)) expected += r.expected_seconds();
    REQUIRE(expected < 600);
    REQUIRE(most_threads(thread_sweep(6)) == 6);
    REQUIRE(thread_sweep(1).size() == 4);
}

TEST_CASE("sizes whose products are beyond 64 bits are refused with what they take")
{
    for (const std::string sizes : {"b999999_hq999999_hkv999999_sq999999999_skv999999999_d999999",
                                    "b1_hq1_hkv1_sq1_skv999999999_d999999", "b999999_hq999999_hkv1_sq999999_skv1_d1"}) {
        INFO(sizes);
        REQUIRE_THAT(refusal("heed/prefill/softmax/f32/all/" + sizes + "/t1"), Catch::Contains("its tensors take"));
    }
    // A size of more digits than 64 bits hold is no size.
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/all/b1_hq1_hkv1_sq1_skv99999999999999999999_d1/t1"),
                 Catch::Contains("does not read"));
    REQUIRE_THAT(refusal("heed/prefill/softmax/f32/window99999999999999999999/b1_hq1_hkv1_sq1_skv1_d1/t1"),
                 Catch::Contains("windowN"));
}

TEST_CASE("K and V by token, parts of K as V, and layers hold the numbers that they say")
{
    const std::string shape = "/causal/b2_hq6_hkv2_sq3_skv70_d24x16/t1";
    for (const std::string type : {"f32", "bf16"})
        for (const std::string way : {"", "_mla"}) {
            const contestant by_head = make_heed(parsed("heed/prefill/softmax/" + type + way + shape)),
                             by_token = make_heed(parsed("heed/prefill/softmax/" + type + "_bshd" + way + shape));
            by_head.run();
            by_token.run();
            REQUIRE(by_head.output() == by_token.output());
        }
    for (const std::string type : {"q8_0", "int8"}) {
        const bench_case c = parsed("heed/decode/softmax/" + type + "_bshd/all/b2_hq4_hkv2_sq1_skv70_d64/t1");
        const contestant by_token = make_heed(c), by_head = make_dense(c);
        by_token.run();
        by_head.run();
        REQUIRE(by_head.output() == by_token.output());
    }
    const bench_case mla = parsed("heed/decode/softmax/f32_mla/all/b1_hq1_hkv1_sq1_skv1_d8x4/t1");
    REQUIRE(mla.kv_bytes() == 4 * 8);
    const contestant one_key = make_heed(mla);
    one_key.run();
    const auto in = inputs_of<float>(mla);
    REQUIRE(one_key.output() == std::vector<float>(in->k(), in->k() + 4));  // the one key has weight 1

    const bench_case layers = parsed("heed/decode/softmax/f32_layers3/all/b1_hq1_hkv1_sq1_skv1_d4/t1");
    REQUIRE(layers.flops() == 3 * 2 * (4 + 4));
    REQUIRE(layers.layers_held() == 3);
    const contestant last_layer = make_heed(layers);
    last_layer.run();
    const auto three = inputs_of<float>(layers);
    REQUIRE(last_layer.output() == std::vector<float>(three->v(2), three->v(2) + 4));
    REQUIRE(parsed("heed/decode/softmax/f32_layers32/all/b1_hq8_hkv8_sq1_skv32768_d128/t1").layers_held() == 4);
}

TEST_CASE("a mask as a table attends what its policy does, and an op of a graph what a plan does")
{
    for (const std::string form : {"floats", "bools"}) {
        const bench_case c = parsed("heed/prefill/softmax/f32/causal_" + form + "/b2_hq4_hkv2_sq30_skv600_d16/t1");
        const contestant table = make_heed(c), policy = make_policy(c);
        table.run();
        policy.run();
        REQUIRE(table.output() == policy.output());
    }
    for (const std::string kv : {"f32", "f16_mla", "bf16_bshd"}) {
        const bench_case c = parsed("compute_op/decode/softmax/" + kv + "/all/b2_hq4_hkv2_sq2_skv600_d32x16/t2");
        const contestant op = make_compute_op(c), plan = make_heed(c);
        op.run();
        plan.run();
        REQUIRE(disagreement(c, plan.output(), op.output()).empty());
    }
}

TEST_CASE("quartiles, percentiles and verdicts are those of their definitions")
{
    const spread s = spread_of({5, 1, 4, 2, 3});
    REQUIRE((s.median == 3 && s.low == 2 && s.high == 4 && s.samples == 5));
    REQUIRE(s.relative() == Approx(2 / 3.));
    REQUIRE(spread_of({2, 1}).median == 1.5);
    REQUIRE(spread_of({}).samples == 0);
    std::vector<double> hundred(100);
    for (std::size_t i = 0; i < 100; ++i) hundred[i] = static_cast<double>(100 - i);
    REQUIRE(nearest_rank(hundred, 0.99) == 99);
    REQUIRE(nearest_rank({7, 3}, 0.99) == 7);

    const spread before{1, 0.99, 1.01, 9}, shifted{1.1, 1.09, 1.11, 9}, noisy{1.1, 0.9, 1.3, 9};
    REQUIRE(change_of(before, shifted).verdict() == "faster");
    REQUIRE(change_of(shifted, before).verdict() == "slower");
    REQUIRE(change_of(before, noisy).verdict() == "the same");
    REQUIRE(change_of(before, before).verdict() == "the same");
}

TEST_CASE("rows of wide spread or above the peak are doubted")
{
    row_results r{{"", "", "", of("all", "b1_hq1_hkv1_sq1_skv1_d4")}, {{}}, {}, {}};
    entry& e = r.entries.front();
    e.problem = r.row.problem;
    e.result.of_peak = {0.9, 0.89, 0.91, 9};
    REQUIRE(doubt_about(r).empty());
    e.result.of_peak = {0.9, 0.8, 1, 9};
    REQUIRE(doubt_about(r) == "wide spread");
    e.result.of_peak = {1.01, 1, 1.02, 9};
    REQUIRE(doubt_about(r) == "more than the peak");
    table_results all;
    REQUIRE(doubts_about(all).empty());
    all.rows.push_back(r);
    all.machine.load = 3;
    REQUIRE_THAT(doubts_about(all), Catch::Contains("3.0 processes") && Catch::Contains("more than the peak"));
}

TEST_CASE("a file is written as a whole or left alone, and what is no file stays what it is")
{
    namespace fs = std::filesystem;
    const fs::path folder = fs::temp_directory_path() / ("heed-bench-parts-" + std::to_string(getpid()));
    fs::create_directories(folder);
    const std::string file = (folder / "x.json").string();
    const auto text = [&] { return (std::stringstream() << std::ifstream(file).rdbuf()).str(); };
    write_whole(file, "one");
    check_writable(file);
    REQUIRE(text() == "one");
    fs::create_symlink(file, folder / "link");
    write_whole((folder / "link").string(), "two");
    REQUIRE((fs::is_symlink(folder / "link") && text() == "two"));
    REQUIRE_THROWS_AS(check_writable(folder.string()), failure);
    REQUIRE_THROWS_AS(write_whole((folder / "none" / "x").string(), ""), failure);
    if (fs::exists("/dev/full")) REQUIRE_THROWS_AS(write_whole("/dev/full", "three"), failure);
    write_whole("/dev/null", "three");
    REQUIRE(fs::is_character_file("/dev/null"));
    REQUIRE(std::distance(fs::directory_iterator(folder), {}) == 2);  // no draft stays
    fs::remove_all(folder);
}
