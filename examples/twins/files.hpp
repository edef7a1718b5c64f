// SPDX-License-Identifier: MIT
// Files that are whole or not there.
#pragma once

#include "../llama2c.hpp"

#include <filesystem>
#include <span>

namespace twins {

/// Writes beside the path and renames: a reader, or a power cut, sees the old file or the new one. Throws input_error.
inline void write_whole(const std::string& path, std::span<const char> bytes)
{
    const std::string beside = path + ".part";
    std::ofstream file(beside, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::error_code failed;
    if (file) std::filesystem::rename(beside, path, failed);
    if (!file || failed) {
        std::filesystem::remove(beside, failed);
        throw llama2c::input_error(path + ": cannot be written");
    }
}

}  // namespace twins
