cmake_minimum_required(VERSION 3.25)
# Without -march a consumer is told once what that means: as a subdirectory and by find_package, and nobody else is.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(here ${WORK}/baseline_note)
file(REMOVE_RECURSE ${here})
set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER} -DXSIMD_INCLUDE_DIR=${XSIMD}
              -DCMAKE_PREFIX_PATH=${here}/prefix)

# expect(count what arguments...): how often configuring speaks of -march.
function(expect count what)
    run("${what}" ${configure} ${ARGN})
    string(REGEX MATCHALL "heed: no -march" notes "${run_output}")
    list(LENGTH notes said)
    if(NOT said EQUAL count)
        message(FATAL_ERROR "${what}: the note was printed ${said} times instead of ${count}:\n${run_output}")
    endif()
endfunction()

expect(0 "heed itself" -S ${SOURCE} -B ${here}/heed -DHEED_BUILD_TESTS=OFF -DHEED_BUILD_BENCH=OFF -DHEED_BUILD_EXAMPLES=OFF)
run("install" ${CMAKE_COMMAND} --install ${here}/heed --prefix ${here}/prefix)
set(subdirectory "add_subdirectory(${SOURCE} heed)")
set(package "find_package(heed REQUIRED)\nfind_package(heed REQUIRED)")
set(quiet_package "find_package(heed QUIET REQUIRED)")
set(options_first "add_compile_options(-march=x86-64-v3)\nadd_subdirectory(${SOURCE} heed)")
foreach(case subdirectory package quiet_package options_first)
    file(WRITE ${here}/${case}/CMakeLists.txt
         "cmake_minimum_required(VERSION 3.21)\nproject(consumer LANGUAGES CXX)\n${${case}}\n")
endforeach()
foreach(case subdirectory package)
    expect(1 "${case}" -S ${here}/${case} -B ${here}/${case}/build)
    expect(0 "${case}, again" -S ${here}/${case} -B ${here}/${case}/build)
    expect(0 "${case}, -march" -S ${here}/${case} -B ${here}/${case}/march -DCMAKE_CXX_FLAGS=-march=x86-64-v3)
    expect(0 "${case}, AArch64" -S ${here}/${case} -B ${here}/${case}/aarch64 -DCMAKE_SYSTEM_NAME=Linux
           -DCMAKE_SYSTEM_PROCESSOR=aarch64)
endforeach()
expect(0 "find_package(QUIET)" -S ${here}/quiet_package -B ${here}/quiet_package/build)
expect(0 "add_compile_options" -S ${here}/options_first -B ${here}/options_first/build)
