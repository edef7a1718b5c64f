// SPDX-License-Identifier: MIT
// Every file that heed's programs read: whole ones that are made here, with a few bytes changed, cut off or put in, and
// any bytes at all. What is read is a file that loops of our own find whole, or one sentence says what is wrong.
#include "files.hpp"

#if HEED_FUZZ_PLOT
#include "bench/plot/results.hpp"
#endif

namespace fuzz {
namespace {

bool is_checkpoint(const bytes& b, bool bf16)
{
    if (b.size() < 28) return false;
    std::int32_t field[7];
    std::memcpy(field, b.data(), 28);
    wide f[7];
    for (int i = 0; i < 7; ++i) {
        f[i] = field[i];
        const wide size = i == 5 && f[i] < 0 ? -f[i] : f[i];
        if (size < 1 || size > (1 << 20)) return false;
    }
    if (f[2] > 4096 || f[0] % f[3] || f[3] % f[4] || f[0] / f[3] % 2) return false;
    return wide(b.size()) == 28 + (bf16 ? 2 : 4) * floats_of(f);
}

void checkpoint_case(input& in)
{
    const bool bf16 = in.one_in(2);
    bytes b = checkpoint_bytes(in, drawn_shape(in), bf16);
    damage(in, b);
    const bool whole = is_checkpoint(b, bf16);
    const bool read = taken<input_error>([&] {
        const llama2c::checkpoint c(b, "checkpoint", bf16);
        const auto first = c.embedding, last = c.classifier + c.c.vocabulary * c.c.dim - 1;
        float x;  // the bits of the first and the last number are those of the file
        std::memcpy(&x, b.data() + 28, 4);
        require(bf16 || std::memcmp(first, &x, 4) == 0, "the first number of a checkpoint");
        std::memcpy(&x, b.data() + b.size() - 4, 4);
        require(bf16 || c.c.shared_classifier || std::memcmp(last, &x, 4) == 0, "the last number of a checkpoint");
    });
    require(read == whole, whole ? "a whole checkpoint is refused" : "half a checkpoint is taken");
}

void tokenizer_case(input& in)
{
    const int64 vocabulary = in.one_in(2) ? 259 + in.range(0, 20) : in.range(0, 300);
    bytes b;
    put(b, static_cast<std::int32_t>(in.one_in(3) ? 40 : 8));
    for (int64 i = 0; i < vocabulary; ++i) {
        std::string piece;
        char text[8];
        if (i < 259)
            std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(i < 3 ? 0 : i - 3)), piece = text;
        else
            for (int64 n = in.range(0, 3); n > 0; --n) piece += "ab \xc3\xa4"[in.random() % 5];
        put(b, static_cast<float>(in.normal()));
        put(b, static_cast<std::int32_t>(piece.size()));
        b.insert(b.end(), piece.begin(), piece.end());
    }
    damage(in, b);
    const std::string text = [&] {
        std::string t;
        for (int64 n = in.range(0, 24); n > 0; --n)
            t += in.one_in(2) ? "ab \xc3\xa4"[in.random() % 5] : static_cast<char>(in.random());
        return t;
    }();
    std::vector<std::string> pieces;  // read in a loop of our own
    bool whole = vocabulary >= 259 && b.size() >= 4;
    std::int32_t longest = 0;
    if (whole) std::memcpy(&longest, b.data(), 4);
    whole = whole && longest >= 1 && longest <= 4096;
    std::size_t at = 4;
    for (int64 i = 0; whole && i < vocabulary; ++i) {
        std::int32_t n = 0;
        if (b.size() < at + 8) whole = false;
        else std::memcpy(&n, b.data() + at + 4, 4), at += 8;
        if (!whole || n < 0 || n > longest || b.size() - at < static_cast<std::size_t>(n)) whole = false;
        else pieces.emplace_back(b.data() + at, static_cast<std::size_t>(n)), at += static_cast<std::size_t>(n);
    }
    whole = whole && at == b.size();
    const bool read = taken<input_error>([&] {
        const llama2c::tokenizer words(b, vocabulary, "tokenizer");
        const std::vector<int> ids = words.encode(text);
        require(!ids.empty() && ids[0] == llama2c::tokenizer::bos, "a text begins with BOS");
        std::string joined;
        for (std::size_t i = 1; i < ids.size(); ++i) {
            require(ids[i] >= 0 && ids[i] < vocabulary, "an id outside the vocabulary");
            if (ids[i] >= 259) joined += pieces[static_cast<std::size_t>(ids[i])];
            (void)words.decode(ids[i - 1], ids[i]);
        }
        require(joined.size() <= text.size() + 1, "more text than there was");
    });
    require(read == whole, whole ? "a whole tokenizer is refused" : "half a tokenizer is taken");
}

void sidecar_case(input& in)
{
    const std::string made = sidecar_text(in, drawn_shape(in), in.one_in(2), in.one_in(2));
    bytes b(made.begin(), made.end());
    if (in.one_in(4)) {
        const std::string rest = in.rest();
        b.assign(rest.begin(), rest.end());
    } else {
        damage(in, b);
    }
    const std::string text(b.begin(), b.end());
    taken<input_error>([&] {
        const llama2c::sidecar s = llama2c::parse_sidecar(text, "sidecar");
        require(text.rfind("heed model 1", 0) == 0, "a sidecar without its first line is taken");
        require(std::isfinite(s.bias), "a bias that is no number");
        for (const auto& logits : s.sinks)
            for (const float z : logits)
                require(z < std::numeric_limits<float>::infinity(), "a sink that is no number");
        (void)s.fact("task");
    });
}

#if HEED_FUZZ_PLOT
void results_case(input& in)
{
    std::string text =
        R"({"format": "heed-bench table 1", "heed": "0.1.0", "machine": {"cpu": "c", "threads": 2, "isa": "i",
 "compiler": "g", "l2_bytes": 1, "l3_bytes": 2, "ceilings": [{"threads": 1, "gflops": 10, "gbps": 5}]}, "rows": [{"section": "s",
 "title": "t", "tick": "k", "entries": [{"name": "n", "impl": "heed", "phase": "decode", "threads": 1, "keys": 9, "flops": 1,
 "kv_bytes": 2, "tensor_bytes": 3, "of_peak": 0.5, "of_stream": 0.5, "heed_is_faster": 1}]}]})";
    bytes b(text.begin(), text.end());
    if (in.one_in(6)) {
        text = in.rest();
        b.assign(text.begin(), text.end());
    } else if (in.one_in(2)) {
        // Another value in place of any.
        constexpr const char* values[] = {"null", "-1",   "1e999", "\"x\"", "[]",
                                          "{}",   "1e30", "true",  "0",     "99999999999999999999"};
        const std::size_t colon = text.find(": ", in.random() % text.size());
        const std::size_t end = colon == std::string::npos ? colon : text.find_first_of(",}]", colon + 2);
        if (end != std::string::npos) text = text.substr(0, colon + 2) + in.one_of(values) + text.substr(end);
        b.assign(text.begin(), text.end());
    } else {
        damage(in, b);
    }
    const std::string path = (folder() / "r.json").string();
    write(path, b);
    taken<std::runtime_error>([&] {
        const plot::results r = plot::read_results(path);
        for (const auto& row : r.rows)
            require(!row.entries.empty() && row.heed().impl == "heed", "a row that does not start with heed is taken");
    });
}
#endif

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    switch (in.range(0, 23)) {
    case 0:
    case 1:
    case 2: checkpoint_case(in); break;
    case 3:
    case 4: tokenizer_case(in); break;
    case 5: model_case(in); break;
    case 6: training_case(in); break;
    case 7:
        if (in.one_in(40)) text_case(in);  // 1 MB each
        break;
#if HEED_FUZZ_PLOT
    case 8: results_case(in); break;
    case 9: report_case(in); break;
#endif
    default: sidecar_case(in); break;
    }
    return 0;
}
