// SPDX-License-Identifier: MIT
// A file that is there as a whole or as it was before, and the standard output that is written or said to be not.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace bench {

/// Something that the user has to know, in a sentence; ends the program with status 2.
struct failure : std::runtime_error {
    using runtime_error::runtime_error;
};

/// Throws a failure unless `file` can be written beside its final name.
void check_writable(const std::string& file);

/// Writes `text` under another name, brings it to the disk and renames it. What is no regular file is written in place.
void write_whole(const std::string& file, const std::string& text);

/// Throws a failure where standard output is closed: before anything else opens a file in its place.
void check_output_is_open();
/// Throws a failure where something that was printed did not arrive.
void flush_output();

}  // namespace bench
