# What heed's own tests, bench and examples share; none of it reaches a consumer.
find_package(Threads REQUIRED)
find_package(Eigen3 QUIET NO_MODULE)  # without a version: it refuses newer majors
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
    message(STATUS "heed: the OpenMP executor is not tested: apt-get install libomp-dev (clang)")
endif()

if(NOT CMAKE_CROSSCOMPILING)
    set(MPI_CXX_SKIP_MPICXX ON)  # the C interface alone
    find_package(MPI QUIET COMPONENTS CXX)
    if(NOT MPI_CXX_FOUND)
        message(STATUS "heed: no many_machines without MPI: apt-get install libopenmpi-dev openmpi-bin")
    endif()
endif()

add_library(heed_own INTERFACE)
target_link_libraries(heed_own INTERFACE heed::heed Threads::Threads)
target_compile_features(heed_own INTERFACE cxx_std_20)
target_compile_options(heed_own INTERFACE $<$<BOOL:${HEED_ARCH}>:-march=${HEED_ARCH}> -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                       # Eigen's AVX-512 code meets PR 105593; heed's own headers are checked without this in tests/headers
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
                       # and its std::string operator+ meets PR 105651
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
