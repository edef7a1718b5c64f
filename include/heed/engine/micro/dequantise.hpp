// SPDX-License-Identifier: MIT
// Numbers of 8 and of 4 bits as registers of floats, one lane a channel.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

/// An f16 in all lanes.
template <class T>
HEED_INLINE vec<T> all_lanes(const f16& x)
{
    return native_vec<T, native_arch>(arch::broadcast(x, native_arch{}));
}
/// q - 8 of the lower or the upper halves of a register's number of bytes.
template <class T>
HEED_INLINE vec<T> load_nibbles(const std::uint8_t* p, bool upper)
{
    return native_vec<T, native_arch>(arch::load_nibbles(p, upper, native_arch{}));
}

/// vec<T>::lanes channels of a block from the at-th on, a multiple of them.
template <class T>
HEED_INLINE vec<T> channels_of_block(const q8_0& block, int at)
{
    return load_as<T>(block.q + at) * all_lanes<T>(block.d);
}
template <class T>
HEED_INLINE vec<T> channels_of_block(const q4_0& block, int at)
{
    return load_nibbles<T>(block.q + at % 16, at >= 16) * all_lanes<T>(block.d);
}

}  // namespace micro
HEED_END
