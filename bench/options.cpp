// SPDX-License-Identifier: MIT
#include "options.hpp"
#include "file.hpp"

#include <benchmark/benchmark.h>

#include <cstdio>

namespace bench {

options read_options(int& argc, char** argv)
{
    options o;
    using task = options::task;
    const auto begin = [&](task t) {
        if (o.what != task::suite && o.what != t) throw failure("--card, --table, --sweep and --compare are one each");
        o.what = t;
    };
    const auto value = [](const std::string& text, const std::string& name, std::string& to) {
        if (text.rfind(name + "=", 0) != 0) return false;
        to = text.substr(name.size() + 1);
        if (to.empty() && name != "--rows") throw failure(name + "= names nothing");
        return true;
    };
    int kept = 1;
    bool help = false;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        std::string name;
        if (value(text, "--case", name)) o.cases.push_back(name);
        else if (value(text, "--rows", o.rows) || value(text, "--json", o.json) || value(text, "--csv", o.csv))
            continue;
        else if (text == "--card") begin(task::card);
        else if (text == "--table") begin(task::table);
        else if (text == "--sweep") begin(task::sweep);
        else if (text == "--help" || text == "-h") help = true;
        else if (text == "--compare") {
            begin(task::compare);
            if (i + 2 >= argc) throw failure("--compare takes two files of results: --compare A.json B.json");
            o.before = argv[++i];
            o.after = argv[++i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    argc = kept;
    if (help) o.what = task::help;
    const bool prints_table = o.what == task::table || o.what == task::sweep || o.what == task::help;
    if (!prints_table && !(o.rows.empty() && o.json.empty() && o.csv.empty()))
        throw failure("--rows, --json and --csv belong to --table or --sweep");
    if (!o.cases.empty() && (o.what == task::card || o.what == task::sweep || o.what == task::compare))
        throw failure("--case belongs to --table, or stands alone");
    return o;
}

void print_help()
{
    std::printf(
        "heed-bench: how fast this CPU can attend, as fractions of what it can do at all, and beside what others do.\n"
        "\n"
        "  heed-bench                       the suite, as Google Benchmark prints it\n"
        "  heed-bench --card                six headline cases, about 15 seconds\n"
        "  heed-bench --table               the suite beside its peers, about 9 minutes; writes heed-bench.json\n"
        "  heed-bench --sweep               prefill and decode on 1, 2, 3, 4, 6, ... threads; writes "
        "heed-bench-threads.json\n"
        "  heed-bench --compare A.json B.json\n"
        "                                   what changed from A to B, and whether it is more than noise\n"
        "  heed-bench --case=NAME           any case by its name, repeatable; with --table beside its peers\n"
        "\n"
        "  --rows=REGEX                     of --table and --sweep: the rows in whose case's name it is found\n"
        "  --json=FILE                      of --table and --sweep: where results go\n"
        "  --csv=FILE                       of --table and --sweep: the same as comma-separated values\n"
        "  --help                           this\n"
        "\n"
        "A case is IMPL/PHASE/NORMALIZER/KV/MASK/bB_hqH_hkvH_sqS_skvS_dD/tT, say\n"
        "  heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1\n"
        "  IMPL         heed, openblas, onednn, eigen; fused, observe, dense, policy, compute_op\n"
        "  PHASE        prefill, decode, backward\n"
        "  NORMALIZER   softmax, softmax1, softmax_sink, softpick, sigmoid, relu1, relu2\n"
        "  KV           f32, bf16, f16, bf16_native, int8, q8_0, q4_0, fp8, fp8_e5m2; int8_by16, int8_by8\n"
        "               (products of integers); behind it _sparseNN, _pageN, _mixedN or _randomN,\n"
        "               _bshd, _mla, _layersN\n"
        "  MASK         all, causal, windowN, documentsN; behind it _floats, _halves, _bools, _tilted\n"
        "bench/README.md says what they mean. Before it measures, heed-bench starts itself again without the "
        "variables\n"
        "of the environment that give OpenBLAS or oneDNN narrower vectors than this CPU has.\n"
        "\n"
        "Options of Google Benchmark, for runs without --table:\n");
    std::fflush(stdout);
    benchmark::PrintDefaultHelp();
}

}  // namespace bench
