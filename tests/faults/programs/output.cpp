// SPDX-License-Identifier: MIT
// A program whose output cannot be written says so, in a line, and by its exit status.
#include "../../twins/small_run.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <vector>

namespace {

/// What a shell command prints to standard error, and its exit status.
std::pair<std::string, int> errors_of(const std::string& command, const std::string& standard_output)
{
    std::FILE* const pipe = popen(("{ " + command + " 3>&- ; } 2>&1 >" + standard_output).c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    const int status = pclose(pipe);
    return {text, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

}  // namespace

TEST_CASE("programs whose standard output is full or closed fail, and say why")
{
    const test::folder folder("output");
    {
        std::ofstream text(folder / "text");
        for (int i = 0; i < 30'000; ++i) text << "In a story, fox " << i % 97 << " told a fox of the moon. ";
    }
    const std::string train = std::string(HEED_TWINS) + " train softmax --task text --file " + (folder / "text") +
                              " --steps 2 --dim 32 --hidden 48 --layers 2 --heads 2 --context 32 "
                              "--windows 4 --out " +
                              folder.path;
    REQUIRE(errors_of(train, "/dev/null").second == 0);
    std::vector<std::string> commands{std::string(HEED_TWINS) + " --help", std::string(HEED_STORYTELLER) + " --help",
                                      std::string(HEED_TWINS) + " tell " + (folder / "softmax.bin") + " --prompt In",
                                      std::string(HEED_TWINS) + " report " + (folder / "softmax.bin") + " --file " +
                                          (folder / "text") + " --windows 4 --out " + folder.path};
#if defined(HEED_BENCH)
    commands.push_back(std::string(HEED_BENCH) + " --help");
#endif
    for (const std::string& command : commands) {
        CHECK(errors_of(command, "/dev/null").second == 0);
        for (const char* bad : {"/dev/full", "&-"}) {
            const auto [text, status] = errors_of(command, bad);
            INFO(command << " >" << bad << ": " << status << "\n" << text);
            CHECK(status > 0);
            CHECK(status < 126);  // no signal
            CHECK(!text.empty());
        }
    }
}
