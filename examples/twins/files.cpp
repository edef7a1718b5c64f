// SPDX-License-Identifier: MIT
#include "files.hpp"

#include "../program/input_error.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace twins {
namespace {

[[noreturn]] void fail(const std::string& path, int error)
{
    throw llama2c::input_error(path + ": cannot be written: " + std::strerror(error));
}

/// 0, or the error. Files that no disk keeps (a pipe) need not wait for one.
int synced(int file) { return fsync(file) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno; }

int written(int file, std::span<const char> bytes)
{
    while (!bytes.empty()) {
        const ssize_t n = write(file, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return synced(file);
}

}  // namespace

void write_through(const std::string& path, std::span<const char> bytes)
{
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) fail(path, errno);
    int error = written(file, bytes);
    if (close(file) != 0 && !error) error = errno;
    if (!error) return;
    if (std::filesystem::is_regular_file(path)) unlink(path.c_str());  // but no device
    fail(path, error);
}

void rename_through(const std::string& from, const std::string& to)
{
    if (std::rename(from.c_str(), to.c_str()) != 0) fail(to, errno);
    const std::string folder = std::filesystem::path(to).parent_path().string();
    const int opened = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return;  // a folder that may be written to but not read: the name is there, if not yet on the disk
    const int error = synced(opened);
    close(opened);
    if (error) fail(to, error);
}

void write_whole(const std::string& path, std::span<const char> bytes)
{
    const std::string draft = path + ".part";
    try {
        write_through(draft, bytes);
        rename_through(draft, path);
    } catch (const llama2c::input_error& e) {
        unlink(draft.c_str());
        const std::string says = e.what();  // of the path that was asked for, not of the draft
        throw llama2c::input_error(path + says.substr(says.find(": cannot be written")));
    }
}

}  // namespace twins
