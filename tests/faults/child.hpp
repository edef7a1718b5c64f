// SPDX-License-Identifier: MIT
// What may crash or hang is done by a child process.
#pragma once

#include <csignal>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace faults {

/// How a child ended: "exit 0", "signal 6".
inline std::string ending(int status)
{
    return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                               : "exit " + std::to_string(WEXITSTATUS(status));
}

/// Calls f, which says whether all went well, in a child that is killed after half a minute.
template <class F>
std::string in_child(F f)
{
    const pid_t child = fork();
    if (child == 0) {
        rlimit none{0, 0};
        setrlimit(RLIMIT_CORE, &none);
        for (const int s : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGTERM}) signal(s, SIG_DFL);  // without Catch's report
        alarm(30);
        try {
            _exit(f() ? 0 : 1);
        } catch (...) {
            _exit(2);
        }
    }
    int status = 0;
    waitpid(child, &status, 0);
    return ending(status);
}

}  // namespace faults
