// expect: heed: a machine derives from machine::unmeasured, which has every size that it does not say
#include <heed/heed.hpp>

#ifdef VALID
struct mine : heed::simd::machine::portable<16> {};
#else
struct mine {
    template <class T>
    using array = heed::simd::arch::lane_array<T, 4>;
    template <class T>
    using batch = array<T>;
    template <class T>
    using registers = array<T>;
    using words = array<std::uint32_t>;
};
#endif

static_assert(heed::simd::machine::sound<mine>::value);
