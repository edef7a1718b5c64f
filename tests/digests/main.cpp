// SPDX-License-Identifier: MIT
// heed-digests FILE          compares this build's results with those of FILE, and names what it cannot compute; a
// build
//                            that rounds products and sums one after the other has none of a release's
// heed-digests --as FILE     compares them whatever this build is for
// heed-digests --print       prints them: the file of a release, or of two builds that have to agree
#include "digests.hpp"

#include <heed/engine/simd/select.hpp>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <map>

namespace {

struct printer : digests::sink {
    void give(const std::string& name, const digests::hash& of) override
    {
        std::printf("%016" PRIx64 "  %s\n", of.value(), name.c_str());
    }
    void skip(const std::string& name, const std::string& why) override
    {
        std::fprintf(stderr, "missing: %s: %s\n", name.c_str(), why.c_str());
    }
};

class comparison : public digests::sink {
public:
    explicit comparison(const char* file)
    {
        std::ifstream in(file);
        std::string value, name;
        while (in >> value && std::getline(in >> std::ws, name)) expected_[name] = std::stoull(value, nullptr, 16);
    }
    void give(const std::string& name, const digests::hash& of) override
    {
        ++compared_;
        const auto at = expected_.find(name);
        if (at == expected_.end()) return report("not in the file", name);
        if (at->second != of.value()) report("other bits", name);
        expected_.erase(at);
    }
    void skip(const std::string& name, const std::string& why) override
    {
        std::printf("skipped      %s: %s\n", name.c_str(), why.c_str());
        expected_.erase(name);
    }
    /// Whether nothing differs, and nothing of the file is left.
    bool holds()
    {
        for (const auto& [name, value] : expected_) report("not computed", name);
        std::printf("%d digests compared on %s, %d differ\n", compared_, heed::isa_name(), wrong_);
        return wrong_ == 0 && compared_ > 0;
    }

private:
    void report(const char* what, const std::string& name)
    {
        ++wrong_;
        std::printf("%-12s %s\n", what, name.c_str());
    }

    std::map<std::string, std::uint64_t> expected_;
    int compared_ = 0, wrong_ = 0;
};

void compute(digests::sink& to)
{
    digests::forward(to);
    digests::caches(to);
    digests::gradients(to);
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string first = argc > 1 ? argv[1] : "";
    if (argc != (first == "--as" ? 3 : 2)) {
        std::fprintf(stderr, "usage: heed-digests FILE | --as FILE | --print\n");
        return 2;
    }
    if (first == "--print") {
        printer to;
        compute(to);
        return 0;
    }
    if (!heed::simd::native_arch::rounds_once && first != "--as") {
        std::printf("skipped: %s has no FMA, and bits of its own\n", heed::isa_name());
        return 77;  // which ctest calls skipped
    }
    comparison to(argv[argc - 1]);
    compute(to);
    return to.holds() ? 0 : 1;
}
