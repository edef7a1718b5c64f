// SPDX-License-Identifier: MIT
// heed-bench --card: the headline cases in one readable table.
#pragma once

namespace bench {

void print_headlines();

}  // namespace bench
