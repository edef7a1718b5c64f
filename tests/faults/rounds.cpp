// SPDX-License-Identifier: MIT
// Rounds of a pool whose workers dawdle wherever they can.
#include "child.hpp"
#include "interposed.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <vector>

#if HEED_INTERPOSES
TEST_CASE("a worker that comes late, or leaves late, meets only the round that is open")
{
    struct one_round {
        explicit one_round(unsigned microseconds) : length(microseconds) {}

        unsigned length;  // microseconds of a task: long enough for others to join, or not
        std::atomic<bool> is_open{true};
        std::atomic<int> runs{0}, runs_when_closed{0};
        void operator()(std::int64_t, int)
        {
            ++(is_open ? runs : runs_when_closed);
            if (length > 0) usleep(length);
        }
    };
    CHECK(faults::in_child([] {
              heed::thread_pool pool(4);
              faults::dawdle = 100;
              std::vector<std::unique_ptr<one_round>> rounds;  // to the end, so that a late call is seen
              for (unsigned i = 0; i < 300; ++i) {
                  rounds.push_back(std::make_unique<one_round>(i % 3 * 40));
                  pool(3, heed::task_ref(*rounds.back()));
                  rounds.back()->is_open = false;
                  usleep(i % 2 * 50);  // when some may wake up
              }
              for (const auto& r : rounds)
                  if (r->runs != 3 || r->runs_when_closed != 0) return false;
              return true;
          }) == "exit 0");
}
#endif
