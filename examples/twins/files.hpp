// SPDX-License-Identifier: MIT
// Files that are whole or not there.
#pragma once

#include <span>
#include <string>

namespace twins {

/// Writes a file and waits until the disk has it. Throws input_error, with nothing left there.
void write_through(const std::string& path, std::span<const char> bytes);

/// Gives a file another's name, and waits until the disk has that. Throws input_error.
void rename_through(const std::string& from, const std::string& to);

/// Writes beside the path, waits for the disk, and renames: a reader, or whoever looks after a power cut, sees the old
/// file or the new one. Throws input_error.
void write_whole(const std::string& path, std::span<const char> bytes);

}  // namespace twins
