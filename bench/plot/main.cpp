// SPDX-License-Identifier: MIT
// heed-plot: what heed-bench --table measured, as pictures.
//
//     heed-plot RESULTS.json [-o DIR]        writes roofline.svg, peers.svg, decode.svg and threads.svg into DIR
#include "pictures.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

struct picture {
    std::string name, svg;
};

/// All of them or none: each is written under another name first.
void write(const std::vector<picture>& pictures, const fs::path& directory)
{
    fs::create_directories(directory);
    const auto draft = [&](const picture& p) { return directory / (p.name + ".part"); };
    for (const picture& p : pictures) {
        std::ofstream out(draft(p), std::ios::binary);
        if (out << p.svg && out.flush()) continue;
        out.close();
        std::error_code ignored;
        for (const picture& q : pictures) fs::remove(draft(q), ignored);
        throw std::runtime_error("can not write " + draft(p).string());
    }
    for (const picture& p : pictures) fs::rename(draft(p), directory / p.name);
}

constexpr const char* usage =
    "usage: heed-plot RESULTS.json [-o DIR]     (results: heed-bench --table --json=RESULTS.json)\n"
    "writes roofline.svg, peers.svg, decode.svg and threads.svg into DIR, or into the working directory\n";

}  // namespace

int main(int argc, char** argv)
{
    if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h")) {
        std::cout << usage;
        return std::cout.flush() ? 0 : 2;
    }
    const bool named = argc == 4 && std::string(argv[2]) == "-o";
    if (!(argc == 2 || named) || argv[1][0] == '-') {
        std::cerr << usage;
        return 2;
    }
    try {
        const fs::path directory = named ? argv[3] : ".";
        const plot::results r = plot::read_results(argv[1]);
        const std::vector<picture> pictures{{"roofline.svg", plot::draw_roofline(r)},
                                            {"peers.svg", plot::draw_peers(r)},
                                            {"decode.svg", plot::draw_decode(r)},
                                            {"threads.svg", plot::draw_threads(r)}};
        write(pictures, directory);
        for (const picture& p : pictures) std::cout << (directory / p.name).lexically_normal().string() << "\n";
        if (!std::cout.flush()) throw std::runtime_error("can not write to standard output");
        return 0;
    } catch (const std::exception& e) {
        std::cerr << "heed-plot: " << e.what() << "\n";
        return 2;
    }
}
