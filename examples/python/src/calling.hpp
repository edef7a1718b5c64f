// SPDX-License-Identifier: MIT
// What calls of kernels share: which kernels, whose threads, and errors.
#pragma once

#include "calls.hpp"

#include <heed/executor/threads.hpp>

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

namespace py = pybind11;

/// The kernels for this CPU.
const kernels& kernels_here();

/// Those verbs of one element that there are.
const element_verbs& verbs_of(element e);

/// The CPU that the kernels were compiled for: "native", or one of those of the build.
std::string arch_here();

const char* name_of(element e);
const char* name_of(normalizer n);

/// Throws what a call reported: ValueError, MemoryError, or RuntimeError.
void check(const outcome& o);

/// A pool of threads for some calls; the calling thread is one of them.
class crew {
public:
    /// `threads` is None, for as many as the process may use, or a number from 1 to 1024.
    crew(const std::string& verb, py::handle threads);

    executor for_call();

private:
    std::shared_ptr<heed::thread_pool> pool_;  // null: the calling thread alone
};

/// What `of`, a member of element_verbs, has for an element and a normalizer; a ValueError that says which elements
/// there are where it has nothing.
template <class Member>
auto kernel_for(const std::string& verb, Member of, element e, normalizer n)
{
    const auto function = (verbs_of(e).*of)[static_cast<int>(n)];
    if (function) return function;
    std::string known;
    for (int i = 0; i < element_count; ++i)
        if ((verbs_of(static_cast<element>(i)).*of)[static_cast<int>(n)])
            known += (known.empty() ? "" : ", ") + std::string(name_of(static_cast<element>(i)));
    throw py::value_error(verb + ": keys of " + name_of(e) + "; this module has " + known);
}

/// Calls a kernel without the GIL.
template <class Call>
void call_kernel(void (*kernel)(const Call&, outcome&), const Call& call)
{
    outcome o;
    {
        const py::gil_scoped_release release;
        kernel(call, o);
    }
    check(o);
}
