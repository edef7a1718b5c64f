// SPDX-License-Identifier: MIT
#include "calling.hpp"

#include <heed/base/process.hpp>
#include <heed/base/status.hpp>

#include <mutex>
#include <thread>

#if defined(HEED_PYTHON_TABLE)
extern const kernels HEED_PYTHON_TABLE;
const kernels& kernels_here() { return HEED_PYTHON_TABLE; }
std::string arch_here() { return "native"; }
#else
#include "heed_python_kernels.hpp"  // written by heed_add_kernels()
const kernels& kernels_here() { return *heed_python_kernels().table; }
std::string arch_here() { return heed_python_kernels().arch; }
#endif

const element_verbs& verbs_of(element e)
{
    struct merged {
        element_verbs of[element_count] = {};
        merged()
        {
            const kernels& all = kernels_here();
            for (int i = 0; i < all.file_count; ++i) {
                const element_verbs& from = *all.files[i];
                element_verbs& to = of[static_cast<int>(from.of)];
                for (int n = 0; n < normalizer_count; ++n) {
                    if (from.attend[n]) to.attend[n] = from.attend[n];
                    if (from.attend_partial[n]) to.attend_partial[n] = from.attend_partial[n];
                    if (from.backward[n]) to.backward[n] = from.backward[n];
                    if (from.observe[n]) to.observe[n] = from.observe[n];
                }
            }
        }
    };
    static const merged all;
    return all.of[static_cast<int>(e)];
}

const char* name_of(element e)
{
    constexpr const char* names[element_count] = {"float32", "float64", "bfloat16", "float16", "q8_0", "q4_0"};
    return names[static_cast<int>(e)];
}

const char* name_of(normalizer n) { return n == normalizer::softpick ? "softpick" : "softmax"; }

void check(const outcome& o)
{
    switch (static_cast<heed::errc>(o.code)) {
    case heed::errc::ok: return;
    case heed::errc::out_of_memory: PyErr_SetString(PyExc_MemoryError, o.text); throw py::error_already_set();
    case heed::errc::executor_failed: throw std::runtime_error(o.text);
    default: throw py::value_error(o.text);
    }
}

namespace {

/// The pool of the last number of threads that was asked for. Calls that are under way keep theirs.
std::shared_ptr<heed::thread_pool> pool_of(int threads)
{
    static std::mutex mutex;
    static std::shared_ptr<heed::thread_pool> pool;
    static int size = 0;
    static long process = 0;
    const std::lock_guard<std::mutex> lock(mutex);
    const long here = heed::detail::this_process();
    if (!pool || size != threads || process != here) {  // a child of fork() has no threads of its parent's
        pool = std::make_shared<heed::thread_pool>(threads);
        size = threads;
        process = here;
    }
    return pool;
}

}  // namespace

crew::crew(const std::string& verb, py::handle threads)
{
    long wanted = 0;
    if (threads.is_none()) {
        const unsigned all = std::thread::hardware_concurrency();
        wanted = all < 1 ? 1 : all > 1024 ? 1024 : static_cast<long>(all);
    } else {
        if (PyBool_Check(threads.ptr()) || !PyIndex_Check(threads.ptr()))
            throw py::type_error(verb + ": threads must be a whole number or None");
        try {
            wanted = py::cast<long>(threads);
        } catch (const py::cast_error&) {
        }
        if (wanted < 1 || wanted > 1024)
            throw py::value_error(verb + ": threads is " + py::cast<std::string>(py::str(threads)) +
                                  ", must be from 1 to 1024");
    }
    if (wanted > 1) pool_ = pool_of(static_cast<int>(wanted));
}

executor crew::for_call()
{
    if (!pool_) return {};
    return {pool_.get(), pool_->concurrency(),
            [](void* host, std::int64_t n, void (*task)(void*, std::int64_t, int), void* context) {
                (*static_cast<heed::thread_pool*>(host))(n,
                                                         [=](std::int64_t i, int worker) { task(context, i, worker); });
            }};
}
