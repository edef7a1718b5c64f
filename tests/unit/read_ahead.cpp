// SPDX-License-Identifier: MIT
// The prefetch cursors keep pace with what is used: after 128 bytes a request, whatever the rows' size, gap and start.
#include <heed/engine/micro/prefetch.hpp>

#include <catch2/catch.hpp>

#include <vector>

namespace micro = heed::micro;

namespace {

/// Rows of some bytes at a stride, in memory that nobody reads: a cursor only names it.
struct row_range {
    std::int64_t bytes, stride, start;

    std::uintptr_t base() const { return std::uintptr_t{1} << 32; }
    /// Where the byte of all rows lies that is used after `used` others.
    std::uintptr_t place_of(std::int64_t used) const
    {
        return base() + static_cast<std::uintptr_t>(start + used / bytes * stride + used % bytes);
    }
};

template <class F>
void for_rows(F f)
{
    for (const std::int64_t bytes : {8, 36, 64, 72, 80, 128, 136, 144, 256, 264, 512, 1000})
        for (const std::int64_t gap : {2, 32, 64, 952})
            for (const std::int64_t start : {0, 4, 32, 62}) {
                INFO("rows of " << bytes << " bytes, gaps of " << gap << ", the first " << start
                                << " bytes behind the start of a line");
                f(row_range{bytes, bytes + gap, start});
            }
}

/// Asks for 300 rows and requires that a request is always for what is yet to be used, and not far ahead of it.
template <class Cursor>
void keeps_pace(const row_range& rows, Cursor cursor)
{
    for (std::int64_t used = 128; used < 300 * rows.bytes; used += 128) {
        cursor.template prefetch<3>();
        const std::uintptr_t last = rows.place_of(used - 1);
        const bool begins = used < rows.bytes + 256;  // what the first row's start costs is made up where it ends
        if (!begins && cursor.next() + 64 <= last) FAIL("behind after " << used << " bytes");
        const std::uintptr_t ahead = rows.place_of(used + 256 + rows.bytes) + 256;
        if (cursor.next() > ahead) FAIL("far ahead after " << used << " bytes");
    }
}

}  // namespace

TEST_CASE("a cursor over rows with gaps keeps pace")
{
    for_rows([](const row_range& rows) {
        const auto* first = reinterpret_cast<const char*>(rows.place_of(0));
        keeps_pace(rows, micro::line_cursor(first, rows.stride, rows.bytes));
    });
}

TEST_CASE("a cursor over pieces of memory keeps pace")
{
    for_rows([](const row_range& rows) {
        std::vector<micro::piece> pieces;
        for (std::int64_t r = 0; r < 400; ++r)
            pieces.push_back({rows.place_of(r * rows.bytes), rows.place_of((r + 1) * rows.bytes - 1) + 1});
        keeps_pace(rows, micro::piece_cursor(pieces.data()));
    });
}

TEST_CASE("a cursor over two rows at once keeps pace")
{
    for_rows([](const row_range& rows) {
        const auto* first = reinterpret_cast<const float*>(rows.place_of(0));
        if (rows.stride % 4 != 0 || rows.start % 4 != 0) return;
        for (const std::int64_t apart : {0, 8, 32}) {
            INFO("two rows " << apart << " apart");
            micro::paired_cursor cursor(first, rows.stride / 4, rows.bytes / 4, apart, 512);
            for (std::int64_t used = 128; used < 200 * rows.bytes; used += 128) {
                cursor.prefetch<3>();
                const auto row = static_cast<std::int64_t>(cursor.next() + 63 - rows.place_of(0)) / rows.stride;
                const std::int64_t both = apart == 0 ? row : row / (2 * apart) * 2 * apart + row % (2 * apart) * 2;
                if ((both + 2) * rows.bytes < used - 128) FAIL("behind after " << used << " bytes");
                if (both * rows.bytes > used + 256 + 2 * rows.bytes) FAIL("far ahead after " << used << " bytes");
            }
        }
    });
}

TEST_CASE("rows without gaps are one run of lines")
{
    micro::line_cursor cursor(reinterpret_cast<const char*>(std::uintptr_t{1} << 32), 136, 136);
    for (int i = 1; i < 1000; ++i) {
        cursor.prefetch<3>();
        REQUIRE(cursor.next() == (std::uintptr_t{1} << 32) + static_cast<std::uintptr_t>(i) * 128);
    }
}
