// SPDX-License-Identifier: MIT
// What a run is: everything that its numbers depend on, and nothing else.
#pragma once

#include "parameters.hpp"

namespace twins {

struct settings {
    std::string normalizer = "softmax", task = "bigram-backcopy", file;  // file: of task text
    std::uint64_t file_hash = 0;
    config shape{128, 344, 3, 4, 4, 259, 256, true};
    int64 batch = 8, steps = 2000, windows = 64;  // windows: to validate on, those of the report too
    int64 extend = 0;                             // steps beyond those, at the rate that they end with
    double rate = 3e-3, decay = 0.1;
    std::int64_t seed = 1;

    int64 warm_up() const { return std::max<int64>(1, std::min<int64>(200, steps / 10)); }
    /// Steps between two points of the loss curves.
    int64 interval() const { return std::max<int64>(1, steps / 40); }
    int64 all_steps() const { return steps + extend; }
    /// Whether the curves have a point behind this step, however far the run is extended.
    bool has_point(int64 step) const { return step % interval() == 0 || step == steps; }

    /// As lines of a checkpoint: name and value.
    std::vector<std::pair<std::string, std::string>> entries() const;

    /// As options of `twins train`, without the normalizer; and without the seed.
    std::string options() const { return options_but_seed() + " --seed " + std::to_string(seed); }
    std::string options_but_seed() const;
};

/// A word of a command line, in quotes where a shell would read it as anything else.
std::string quoted(const std::string& word);

/// A hash of bytes (64-bit FNV-1a), to tell files apart.
inline std::uint64_t hash_of(const char* bytes, std::size_t count, std::uint64_t seed = 0xcbf29ce484222325u)
{
    for (std::size_t i = 0; i < count; ++i) seed = (seed ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3u;
    return seed;
}

/// How files name the text with this hash.
std::string text_name(std::uint64_t hash);

}  // namespace twins
