// SPDX-License-Identifier: MIT
// A checkpoint that is killed, or runs out of disk, while it is written is the old one or the new one, whole.
#include "../../twins/small_run.hpp"
#include "../child.hpp"

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>

namespace {

constexpr std::int64_t steps = 1'000'000'000;  // more than are written

/// A state all of whose numbers are those of its step.
twins::training_state state_of(std::int64_t step, const twins::layout& at)
{
    twins::training_state s(at, 1);
    s.step = step;
    s.recent_loss = static_cast<double>(step);
    for (auto* array : {&s.parameters, &s.moment1, &s.moment2})
        array->assign(array->size(), static_cast<float>(step % 1000));
    return s;
}
bool is_whole(const twins::training_state& s)
{
    for (const auto* array : {&s.parameters, &s.moment1, &s.moment2})
        for (const float x : *array)
            if (x != static_cast<float>(s.step % 1000)) return false;
    return true;
}

}  // namespace

TEST_CASE("a checkpoint killed in the middle a hundred times is whole, the last or the one before")
{
    const test::folder folder("killed");
    const std::string path = folder / "state";
    const twins::settings s = test::small_run("softmax", steps);
    const twins::layout at(s.shape, false);
    struct progress {
        std::atomic<std::int64_t> begun, done;
    };
    auto* const seen = static_cast<progress*>(
        mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(seen != MAP_FAILED);
    int in_the_middle = 0;
    for (unsigned i = 0; i < 100; ++i) {
        const std::int64_t first = seen->done + 1;
        const pid_t child = fork();
        if (child == 0) {
            for (std::int64_t step = first;; ++step) {
                seen->begun = step;
                twins::write_training_state(state_of(step, at), s, path);
                seen->done = step;
            }
        }
        while (seen->done < first && waitpid(child, nullptr, WNOHANG) == 0) usleep(50);
        usleep(i * 7919 % 3000);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        REQUIRE(faults::ending(status) == "signal " + std::to_string(SIGKILL));
        in_the_middle += seen->begun != seen->done;
        const twins::training_state read = twins::read_training_state(s, at, path);
        REQUIRE((read.step == seen->done || read.step == seen->begun));
        REQUIRE(is_whole(read));
        seen->done = read.step;
    }
    CHECK(in_the_middle > 20);  // or nothing was shown
}

TEST_CASE("a checkpoint for which there is no room leaves the old one, and no part of the new one")
{
    const test::folder folder("full");
    const std::string path = folder / "state";
    const twins::settings s = test::small_run("softmax", steps);
    const twins::layout at(s.shape, false);
    twins::write_training_state(state_of(1, at), s, path);
    CHECK(faults::in_child([&] {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit small{10'000, 10'000};
              setrlimit(RLIMIT_FSIZE, &small);
              try {
                  twins::write_training_state(state_of(2, at), s, path);
              } catch (const llama2c::input_error&) {
                  return true;
              }
              return false;
          }) == "exit 0");
    CHECK(twins::read_training_state(s, at, path).step == 1);
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path)) files += entry.exists();
    CHECK(files == 1);
}
