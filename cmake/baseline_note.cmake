# Says once, when a build tree is first configured, that without a -m flag a compiler means the oldest machine.
#
# It is said here and not by the header: a #pragma message would be repeated in every translation unit, and clang counts
# it as a warning, which -Werror refuses. It is a status and no warning, because flags that a target adds are not seen
# from here. AArch64 is left out: its oldest machine has the vectors and the fused multiply-add that heed uses.
if(NOT heed_said_baseline AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    get_directory_property(heed_flags COMPILE_OPTIONS)
    string(TOUPPER "CMAKE_CXX_FLAGS_${CMAKE_BUILD_TYPE}" heed_config_flags)
    if(NOT "${CMAKE_CXX_FLAGS} ${${heed_config_flags}} ${heed_flags}" MATCHES "(^|[ ;:])-m(arch|cpu|avx|sse|simd)")
        message(STATUS "heed: no -march in the flags: its code is for the oldest machine of the family, unless a target "
                       "adds -march or links heed::native; heed::isa_name() tells (said once)")
        set(heed_said_baseline TRUE CACHE INTERNAL "heed's note about -march has been printed")
    endif()
endif()
