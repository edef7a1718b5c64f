// SPDX-License-Identifier: MIT
// What stands in the place of TWINS_EXTRA where no file is named.
#include "normalizers.hpp"

void twins::add_extra(normalizer_table<number>&) {}
