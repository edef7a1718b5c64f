# xsimd as an include directory: heed::xsimd.
#
# Debian's own CMake target asks the linker for -lxtl, which its package does not bring, and its version file refuses
# every other major. So: headers only, any version from 8.1 on.
find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
if(XSIMD_INCLUDE_DIR)
    file(STRINGS "${XSIMD_INCLUDE_DIR}/xsimd/config/xsimd_config.hpp" xsimd_lines
         REGEX "#define XSIMD_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX REPLACE "[^0-9;]" "" xsimd_numbers "${xsimd_lines}")
    list(JOIN xsimd_numbers "." xsimd_headers_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(xsimd_headers REQUIRED_VARS XSIMD_INCLUDE_DIR VERSION_VAR xsimd_headers_VERSION)

if(xsimd_headers_FOUND AND NOT TARGET heed::xsimd)
    add_library(heed::xsimd INTERFACE IMPORTED)
    target_include_directories(heed::xsimd INTERFACE "${XSIMD_INCLUDE_DIR}")
endif()
mark_as_advanced(XSIMD_INCLUDE_DIR)
