// SPDX-License-Identifier: MIT
// Errors as values: a code, and a sentence that names the argument, the sizes and the rule.
#pragma once

#include "config.hpp"

#include <cstdarg>
#include <cstdio>

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

HEED_BEGIN

/// What kind of error a status is of; its message says which.
enum class errc { ok, invalid_argument, unsupported, workspace_too_small, out_of_memory, executor_failed };

/// The outcome of a call. True means success; otherwise `message()` says what was wrong and with which numbers.
/// Nothing was written where a status is false, unless its code is executor_failed: that is known only at the end.
class [[nodiscard]] status {
public:
    status() = default;

    explicit operator bool() const { return code_ == errc::ok; }  ///< whether all went well
    errc code() const { return code_; }                           ///< errc::ok where all went well
    const char* message() const { return text_; }                 ///< what is wrong, with argument, sizes and rule

    /// An error with a printf-formatted sentence, cut at 199 characters.
    __attribute__((format(HEED_PRINTF, 2, 3))) static status error(errc code, const char* format, ...)
    {
        status result;
        result.code_ = code;
        va_list values;
        va_start(values, format);
        std::vsnprintf(result.text_, sizeof(result.text_), format, values);
        va_end(values);
        return result;
    }

private:
    errc code_ = errc::ok;
    char text_[200] = "ok";
};

#if defined(__cpp_exceptions)
/// What or_throw throws.
class error : public std::invalid_argument {
public:
    /// The error that a status, which is false, holds.
    explicit error(const status& from) : std::invalid_argument(from.message()), code_(from.code()) {}
    errc code() const { return code_; }  ///< what kind of error it is

private:
    errc code_;
};

/// For those who like exceptions: throws heed::error unless the status is ok.
inline void or_throw(const status& s)
{
    if (!s) throw error(s);
}
#endif

HEED_END
