// SPDX-License-Identifier: MIT
// For valgrind, or MemorySanitizer: nothing that was never written decides anything, or is in an output.
#include "every_kind.hpp"

int main(int argc, char**)
{
    if (argc > 1) {  // whether it would be seen
        const faults::array<float> never_written(64);
        faults::check("seeded", never_written.data, 64);
        return 0;
    }
    struct backwards {  // two workers, whose scratch memory is as malloc gave it
        int concurrency() const { return 2; }
        void operator()(std::int64_t n, heed::task_ref f) const
        {
            while (n-- > 0) f(n, static_cast<int>(n % 2));
        }
    } executor;
    faults::every_kind(executor);
}
