// SPDX-License-Identifier: MIT
#include "file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <fcntl.h>
#include <unistd.h>

namespace bench {
namespace {

namespace fs = std::filesystem;

/// A link's own file, so that the link stays.
fs::path target_of(const std::string& file)
{
    std::error_code none;
    const fs::path target = fs::canonical(file, none);
    return none ? fs::path(file) : target;
}

bool is_written_in_place(const fs::path& file)
{
    std::error_code none;
    return fs::exists(file, none) && !fs::is_regular_file(file, none);
}

fs::path draft_of(const fs::path& file) { return fs::path(file).concat(".part"); }

[[noreturn]] void fail(const std::string& file)
{
    throw failure("can not write " + file + ": " + std::strerror(errno));
}

bool put(const fs::path& file, const std::string& text, bool to_disk)
{
    std::FILE* const to = std::fopen(file.c_str(), "w");
    if (!to) return false;
    bool ok = std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
    if (ok && to_disk) ok = fsync(fileno(to)) == 0;
    const int why = errno;
    const bool closed = std::fclose(to) == 0;
    if (!ok) errno = why;
    return ok && closed;
}

}  // namespace

void check_writable(const std::string& file)
{
    const fs::path target = target_of(file);
    if (is_written_in_place(target)) {
        if (fs::is_directory(target)) errno = EISDIR;
        if (fs::is_directory(target) || access(target.c_str(), W_OK) != 0) fail(file);
        return;
    }
    if (!put(draft_of(target), "", false)) fail(file);
    fs::remove(draft_of(target));
}

void write_whole(const std::string& file, const std::string& text)
{
    const fs::path target = target_of(file);
    const bool in_place = is_written_in_place(target);
    const fs::path draft = in_place ? target : draft_of(target);
    bool ok = put(draft, text, !in_place);
    if (ok && !in_place) ok = std::rename(draft.c_str(), target.c_str()) == 0;
    if (ok) return;
    const int why = errno;
    std::error_code none;
    if (!in_place) fs::remove(draft, none);
    errno = why;
    fail(file);
}

void check_output_is_open()
{
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) throw failure("standard output is closed");
}

void flush_output()
{
    errno = 0;
    std::cout.flush();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout)
        throw failure(std::string("can not write to standard output") + (errno ? ": " : "") +
                      (errno ? std::strerror(errno) : ""));
}

}  // namespace bench
