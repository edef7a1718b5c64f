// SPDX-License-Identifier: MIT
#include "pictures.hpp"

#include "../program/input_error.hpp"
#include "files.hpp"
#include "pictures/page.hpp"

#include <filesystem>
#include <stdexcept>

namespace twins {
namespace {

namespace fs = std::filesystem;

struct picture {
    fs::path file;
    std::string svg;

    /// Where it is written first: all or none get their names.
    fs::path draft() const { return file.string() + ".part"; }
};

void write(const std::vector<picture>& all)
{
    const auto refuse = [&](const picture& p, const std::string& why) {
        std::error_code ignored;
        for (const picture& q : all) fs::remove(q.draft(), ignored);
        throw std::runtime_error("pictures: can not write " + p.file.string() + why);
    };
    for (const picture& p : all) {
        if (fs::is_directory(p.file)) refuse(p, "");
        try {
            write_through(p.draft().string(), p.svg);
        } catch (const llama2c::input_error& e) {
            refuse(p, std::string(": ") + e.what());
        }
    }
    for (const picture& p : all) try {
            rename_through(p.draft().string(), p.file.string());
        } catch (const llama2c::input_error& e) {
            refuse(p, std::string(": ") + e.what());
        }
}

}  // namespace

std::vector<std::string> write_pictures(const report& r, const std::string& directory)
{
    check(r);
    std::error_code wrong;
    fs::create_directories(directory, wrong);
    if (!fs::is_directory(directory))
        throw std::runtime_error("pictures: can not make the directory " + directory +
                                 (wrong ? ": " + wrong.message() : ""));
    std::vector<picture> all;
    const std::vector<report> parts = parts_of(r);
    for (std::size_t p = 0; p < parts.size(); ++p) {
        const std::string end = p == 0 ? ".svg" : "-" + std::to_string(p + 1) + ".svg";
        const auto add = [&](const char* name, std::string svg) {
            if (!svg.empty()) all.push_back({fs::path(directory) / (name + end), std::move(svg)});
        };
        add("attention", draw_attention(parts[p]));
        add("first_token", draw_first_token(parts[p]));
        add("loss", draw_loss(parts[p]));
        add("activations", draw_activations(parts[p]));
        add("bits", draw_bits(parts[p]));
    }
    write(all);
    std::vector<std::string> files;
    for (const picture& p : all) files.push_back(p.file.string());
    return files;
}

}  // namespace twins
