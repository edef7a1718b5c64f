include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(heed_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/heed")
configure_package_config_file(cmake/heedConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake"
                              INSTALL_DESTINATION "${heed_package_dir}")
# While the version starts with 0, a minor release may break.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

install(TARGETS heed heed_native EXPORT heedTargets)
install(EXPORT heedTargets NAMESPACE heed:: DESTINATION "${heed_package_dir}")
install(DIRECTORY include/heed DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
              cmake/Findxsimd_headers.cmake
        DESTINATION "${heed_package_dir}")
