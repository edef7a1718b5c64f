// SPDX-License-Identifier: MIT
// What is printed arrives, or the program says that it did not.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string>

namespace llama2c {

/// For the beginning of main(): occupies what the caller has closed of stdin, stdout and stderr. Otherwise the next
/// file that is opened would get such a number, and what is printed would end in it. To print there still fails.
inline void occupy_standard_streams()
{
    for (int stream = 0; stream < 3; ++stream)
        if (fcntl(stream, F_GETFD) == -1) (void)!open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY);
}

/// Why output did not arrive, in one line.
struct output_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// For the end of main(): throws output_error unless all that was printed has arrived. A disk may be full.
inline void flush_standard_output()
{
    errno = 0;
    const bool flushed = std::fflush(stdout) == 0;
    if (flushed && !std::ferror(stdout)) return;
    throw output_error(std::string("stdout: what was printed did not arrive") +
                       (errno ? std::string(": ") + std::strerror(errno) : ""));
}

}  // namespace llama2c
