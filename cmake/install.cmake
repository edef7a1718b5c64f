# The package: headers, what find_package(heed) reads, and heed.pc for those who build without CMake.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

target_include_directories(heed INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(heed_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/heed")
configure_package_config_file(cmake/heedConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake"
                              INSTALL_DESTINATION "${heed_package_dir}")
# While the version starts with 0, a minor release may break.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

# Relative to the file itself, so that an installed tree may be moved, and `cmake --install --prefix` be right.
file(RELATIVE_PATH heed_include_from_pc "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file(cmake/heed.pc.in "${CMAKE_CURRENT_BINARY_DIR}/heed.pc" @ONLY)

install(TARGETS heed heed_native EXPORT heedTargets)
install(EXPORT heedTargets NAMESPACE heed:: DESTINATION "${heed_package_dir}")
install(DIRECTORY include/heed DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
              cmake/Findxsimd_headers.cmake cmake/add_kernels.cmake cmake/baseline_note.cmake
        DESTINATION "${heed_package_dir}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/heed.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
