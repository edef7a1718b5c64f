// SPDX-License-Identifier: MIT
// The order in which a file reaches the disk: its bytes before its name, and then the folder that holds the name. What
// a power cut leaves cannot be tried here; that order is what keeps it whole.
#include "../../twins/small_run.hpp"
#include "../interposed.hpp"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#if HEED_INTERPOSES
namespace {

bool is_recorded = false;
std::vector<std::string> calls;  // of write ("w"), fsync of a file ("s") and of a folder ("S"), rename ("r")

void record(const char* call)
{
    if (is_recorded && (calls.empty() || calls.back() != call)) calls.push_back(call);
}

template <class F>
F* behind(const char* name)
{
    return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
ssize_t write(int file, const void* bytes, std::size_t n)
{
    static auto* const real = behind<decltype(write)>("write");
    record("w");
    return real(file, bytes, n);
}
int fsync(int file)
{
    static auto* const real = behind<decltype(fsync)>("fsync");
    struct stat about {};
    record(fstat(file, &about) == 0 && S_ISDIR(about.st_mode) ? "S" : "s");
    return real(file);
}
int rename(const char* from, const char* to)
{
    static auto* const real = behind<decltype(rename)>("rename");
    record("r");
    return real(from, to);
}
}

TEST_CASE("a checkpoint is on the disk before it has its name, and the name before it is believed")
{
    const test::folder folder("power_cut");
    const std::string path = folder / "state";
    const twins::settings s = test::small_run("softmax", 1);
    const twins::layout at(s.shape, false);
    calls.clear();
    is_recorded = true;
    twins::write_training_state(twins::training_state(at, 1), s, path);
    is_recorded = false;
    CHECK(calls == std::vector<std::string>{"w", "s", "r", "S"});
}
#endif
