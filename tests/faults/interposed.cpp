// SPDX-License-Identifier: MIT
#include "interposed.hpp"

#include <cerrno>
#include <cstddef>
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#if HEED_INTERPOSES
namespace {

/// The next function of this name behind ours.
template <class F>
F* behind(const char* name)
{
    return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

thread_local bool is_started = false;

struct start {
    void* (*run)(void*);
    void* argument;
};
void* begin(void* p)
{
    const start s = *static_cast<start*>(p);
    delete static_cast<start*>(p);
    is_started = true;
    return s.run(s.argument);
}

}  // namespace

extern "C" {
#if defined(__GLIBC__)
void* __libc_malloc(std::size_t);
void* malloc(std::size_t n) { return faults::no_memory ? nullptr : __libc_malloc(n); }
#endif
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument)
{
    static auto* const real = behind<decltype(pthread_create)>("pthread_create");
    if (faults::threads_left.fetch_sub(1) <= 0) {
        faults::threads_left = 0;
        return EAGAIN;
    }
    return real(thread, attributes, begin, new start{run, argument});
}
int pthread_mutex_unlock(pthread_mutex_t* mutex)
{
    static auto* const real = behind<decltype(pthread_mutex_unlock)>("pthread_mutex_unlock");
    const int result = real(mutex);
    if (is_started && faults::dawdle > 0) usleep(faults::dawdle);
    return result;
}
}
#endif
