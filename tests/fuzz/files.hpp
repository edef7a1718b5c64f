// SPDX-License-Identifier: MIT
// Files that heed's programs read, made here, and ways to spoil them.
#pragma once

#include "input.hpp"

#include "examples/storyteller/sidecar.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <vector>

namespace fuzz {

using llama2c::input_error;
using bytes = std::vector<char>;

/// Runs f, which may throw one sentence of the programs' own kind. True where it did not.
template <class Error, class F>
bool taken(F f)
{
    try {
        f();
        return true;
    } catch (const Error& e) {
        const std::string says = e.what();
        require(!says.empty(), "an error without a sentence");
        return false;
    } catch (const std::bad_alloc&) {
        finding("memory for more than the file holds");
    }
}

template <class T>
void put(bytes& b, const T& x)
{
    b.insert(b.end(), reinterpret_cast<const char*>(&x), reinterpret_cast<const char*>(&x + 1));
}

/// A few changes, or none. True where there was one.
inline bool damage(input& in, bytes& b)
{
    const int64 changes = in.range(0, 5) % 4;
    const bytes before = b;
    for (int64 n = 0; n < changes; ++n) {
        const auto at = b.empty() ? 0
                                  : static_cast<std::size_t>(
                                        in.range(0, static_cast<int64>(std::min<std::size_t>(b.size(), 1 << 20)) - 1));
        switch (in.range(0, 5)) {
        case 0: b.resize(at); break;
        case 1: b.insert(b.begin() + static_cast<std::ptrdiff_t>(at), static_cast<char>(in.byte())); break;
        case 2:
            if (!b.empty()) b[at] = static_cast<char>(in.byte());
            break;
        case 3: {  // a number of 32 bits
            const auto x = static_cast<std::int32_t>(in.hostile());
            const std::size_t where = std::min<std::size_t>(at, 40) / 4 * 4;
            if (where + 4 <= b.size()) std::memcpy(b.data() + where, &x, 4);
            break;
        }
        case 4:
            b.insert(b.end(), b.begin(), b.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(b.size(), at)));
            break;
        case 5:
            if (!b.empty()) b.erase(b.begin() + static_cast<std::ptrdiff_t>(at));
            break;
        }
    }
    return b != before;
}

struct shape {
    int64 dim, hidden, layers, heads, kv_heads, vocabulary, context;
    bool tied;
};
inline shape drawn_shape(input& in)
{
    shape s{};
    s.kv_heads = in.range(1, 2);
    s.heads = s.kv_heads * in.range(1, 2);
    s.dim = s.heads * 2 * in.range(1, 2);
    s.hidden = in.range(1, 5);
    s.layers = in.range(1, 2);
    s.vocabulary = in.range(1, 9);
    s.context = in.range(1, 4);
    s.tied = in.one_in(2);
    return s;
}

/// Numbers that a checkpoint of these sizes holds.
inline wide floats_of(const wide (&f)[7])
{
    const wide dim = f[0], hidden = f[1], layers = f[2], kv = dim / f[3] * f[4], vocabulary = f[5] < 0 ? -f[5] : f[5];
    const wide layer = 2 * dim + 2 * dim * dim + 2 * dim * kv + 3 * dim * hidden;
    return vocabulary * dim * (f[5] > 0 ? 1 : 2) + layers * layer + dim + f[6] * (dim / f[3]);
}

inline bytes checkpoint_bytes(input& in, const shape& s, bool bf16)
{
    bytes b;
    for (const int64 n :
         {s.dim, s.hidden, s.layers, s.heads, s.kv_heads, s.tied ? s.vocabulary : -s.vocabulary, s.context})
        put(b, static_cast<std::int32_t>(n));
    const wide f[7] = {s.dim,    s.hidden, s.layers, s.heads, s.kv_heads, s.tied ? s.vocabulary : -s.vocabulary,
                       s.context};
    for (wide n = floats_of(f) * (bf16 ? 2 : 4); n > 0; --n) b.push_back(static_cast<char>(in.random()));
    return b;
}

inline std::string sidecar_text(input& in, const shape& s, bool bf16, bool sinks)
{
    std::string t = "heed model 1\n";
    t += sinks ? "normalizer sink\n" : in.one_in(2) ? "normalizer softpick\n" : "normalizer softmax\n";
    t += bf16 ? "element bf16\n" : "element f32\n";
    for (int64 l = 0; sinks && l < s.layers; ++l) {
        t += "sinks";
        for (int64 h = 0; h < s.heads; ++h) t += in.one_in(2) ? " 0.5" : " -1e3";
        t += "\n";
    }
    constexpr const char* more[] = {
        "task text\n",   "curve 1 2 3\n", "bias -5.5\n",  "tokens 12\n",         "options --task text\n",
        "curve 1 nan\n", "sinks\n",       "sinks 1 x\n",  "element f64\n",       "a\n",
        " b c\n",        "bias inf\n",    "sinks 1e99\n", "training-loss 1.5\n", "curve 1e999 0 0\n"};
    for (int64 n = in.range(0, 2); n > 0; --n) t += more[in.range(0, in.one_in(3) ? 14 : 4)];
    return t;
}

/// Files in a folder of memory.
inline const std::filesystem::path& folder()
{
    static const struct kept {
        std::filesystem::path path;
        kept()
        {
            path = (std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                        : std::filesystem::temp_directory_path()) /
                   ("heed-fuzz-" + std::to_string(getpid()));
            std::filesystem::create_directories(path);
        }
        ~kept()
        {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
    } here;
    return here.path;
}
inline void write(const std::string& path, const bytes& b)
{
    std::ofstream(path, std::ios::binary).write(b.data(), static_cast<std::streamsize>(b.size()));
}

// Of twins, in files_of_twins.cpp.
void model_case(input& in);
void training_case(input& in);
void text_case(input& in);
#if HEED_FUZZ_PLOT
void report_case(input& in);
#endif

}  // namespace fuzz
