// SPDX-License-Identifier: MIT
// The twins binary from outside: a run, Ctrl-C, and what it refuses.
#include "small_run.hpp"

#include <array>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using test::folder;

namespace {

const std::string size = " --dim 32 --hidden 48 --layers 2 --heads 2 --context 32 --windows 4 ";

std::pair<std::string, int> run(const std::string& arguments)
{
    std::FILE* const pipe = popen((std::string(HEED_TWINS) + " " + arguments + " 2>&1").c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    return {text, WEXITSTATUS(pclose(pipe))};
}

/// Starts a run, sends it SIGINT as soon as its checkpoint is there, and gives its exit status.
int interrupted_run(const std::string& arguments, const std::string& checkpoint)
{
    const pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", ("exec " + std::string(HEED_TWINS) + " " + arguments + " > /dev/null").c_str(),
              nullptr);
        _exit(127);
    }
    int status = 0;
    while (!std::filesystem::exists(checkpoint) && waitpid(child, &status, WNOHANG) == 0) usleep(1000);
    kill(child, SIGINT);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("twins are trained, interrupted, resumed and reported on, with the files of a run that was not interrupted")
{
    const folder whole("twins-whole"), parts("twins-parts");
    const std::string arguments = "train softmax softpick --steps 60 --rate 0.01 --bf16" + size + "--out ";
    const auto [text, code] = run(arguments + whole.path);
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(text.find("softmax     softpick") != std::string::npos);
    REQUIRE(text.find("attention.svg") != std::string::npos);

    REQUIRE(interrupted_run(arguments + parts.path, parts / "softmax.train") == 130);
    REQUIRE(!std::filesystem::exists(parts / "softmax.bin"));
    const auto [again, refused] = run(arguments + parts.path);
    REQUIRE(refused == 2);
    REQUIRE(again.find("--resume goes on with it") != std::string::npos);
    REQUIRE(run(arguments + parts.path + " --resume").second == 0);
    for (const std::string name : {"softmax.bin", "softpick.bin", "softmax.heed", "softpick.heed", "softmax.train"})
        REQUIRE(llama2c::read_file(whole / name) == llama2c::read_file(parts / name));

    const auto [report, status] =
        run("report " + (whole / "softmax.bin") + " " + (whole / "softpick.bin") + " --windows 4 --out " + parts.path);
    INFO(report);
    REQUIRE(status == 0);
    // The same numbers, below a line that says another command.
    const auto numbers = [](const std::string& t) { return t.substr(t.find("loss, nats"), 1200); };
    REQUIRE(numbers(report) == numbers(text));
}

TEST_CASE("twins refuses what it does not understand in one line")
{
    const folder out("twins-refusals");
    const auto refuses = [&](const std::string& arguments, const std::string& says) {
        const auto [text, code] = run(arguments + " --out " + out.path);
        INFO(text);
        CHECK(code == 2);
        CHECK(text.rfind("twins: ", 0) == 0);
        CHECK(text.find('\n') == text.size() - 1);
        CHECK(text.find(says) != std::string::npos);
    };
    refuses("train hardmax", "hardmax: is none of softmax, softpick");
    refuses("train softmax softmax", "softmax: is named twice");
    refuses("train softmax --task poetry", "--task poetry");
    refuses("train softmax --task text", "needs --file FILE");
    refuses("train softmax --file x", "belongs to --task text");
    refuses("train softmax --task text --file /nowhere", "/nowhere: cannot be opened");
    refuses("train softmax --dim 100 --heads 3", "--dim 100");
    refuses("train softmax --heads 4 --kv-heads 3", "--kv-heads 3");
    refuses("train softmax --steps 0", "--steps 0: a whole number from 1");
    refuses("train softmax --steps 5 --seconds 3", "does not go with --steps");
    refuses("train softmax --seconds 3 --resume", "does not go with --resume");
    refuses("train softmax --rate fast", "--rate fast");
    refuses("train softmax --what", "--what: unknown option");
    refuses("report /nowhere.bin", "/nowhere.bin: cannot be opened");
    refuses("report x.bin --steps 3", "--steps: is no option of report");
    refuses("report x.bin --prompt In", "--prompt: is no option of report");
    refuses("report", "which models?");
    refuses("tell x.bin", "--out: is no option of tell");
    CHECK(run("tell x.bin --prompt In").first == "twins: x.bin: cannot be opened\n");
    refuses("dance softmax", "dance: is none of train, report, tell, box");
}
