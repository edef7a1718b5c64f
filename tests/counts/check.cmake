cmake_minimum_required(VERSION 3.25)
# Counts the functions of include/heed that take many parameters or do much at once, by clang-tidy, against counts.txt.
# Templates are counted as they are written, so it is enough to include every header; each ISA has its own arch/ files.
#
#     cmake -DROOT=... -DWORK=... -DXSIMD=... [-DTIDY=clang-tidy] [-DCOUNTS=counts.txt] -P tests/counts/check.cmake
if(NOT DEFINED COUNTS)
    set(COUNTS ${CMAKE_CURRENT_LIST_DIR}/counts.txt)
endif()
find_program(TIDY clang-tidy)
if(NOT TIDY)
    message("counts: skipped without clang-tidy: apt-get install clang-tidy")
    return()
endif()
set(complexity_limit 25)

# One unit that includes every header of heed for which there is what it adapts.
file(GLOB_RECURSE headers RELATIVE "${ROOT}/include" "${ROOT}/include/heed/*.hpp")
list(FILTER headers EXCLUDE REGEX "engine/simd/arch/|executor/openmp")  # which vec.hpp chooses from; wants -fopenmp
set(unit "")
foreach(header IN LISTS headers)
    if(header MATCHES "adapt/eigen")
        string(APPEND unit "#if __has_include(<Eigen/Core>)\n#include <${header}>\n#endif\n")
    elseif(header MATCHES "adapt/mpi")
        string(APPEND unit "#if __has_include(<mpi.h>)\n#include <${header}>\n#endif\n")
    else()
        string(APPEND unit "#include <${header}>\n")
    endif()
endforeach()
file(WRITE ${WORK}/all.cpp "${unit}")

find_path(MPI_HEADER_FOLDER mpi.h PATH_SUFFIXES mpi openmpi)
if(MPI_HEADER_FOLDER)
    set(mpi -isystem ${MPI_HEADER_FOLDER})
endif()

set(isa_flags -O2)  # a list of one that changes nothing
execute_process(COMMAND ${TIDY} --version OUTPUT_VARIABLE version)
if(version MATCHES "Default target: x86_64")
    set(isa_flags -march=x86-64-v3 "-march=x86-64-v4 -mavx512bf16 -mavx512vbmi")
endif()

set(many_parameters "")  # "7 parameters: f (file.hpp:3)"
set(too_many_parameters "")
set(complex "")
foreach(flags IN LISTS isa_flags)
    separate_arguments(flags)
    execute_process(
        COMMAND ${TIDY} ${WORK}/all.cpp --quiet --header-filter=/include/heed/
                --checks=-*,readability-function-size,readability-function-cognitive-complexity
                "--config={CheckOptions: [\
{key: readability-function-size.ParameterThreshold, value: 6},\
{key: readability-function-size.LineThreshold, value: 1000000},\
{key: readability-function-size.StatementThreshold, value: 1000000},\
{key: readability-function-cognitive-complexity.Threshold, value: ${complexity_limit}},\
{key: readability-function-cognitive-complexity.DescribeBasicIncrements, value: false}]}"
                -- -std=c++17 ${flags} -I${ROOT}/include ${mpi} -idirafter ${XSIMD}
        RESULT_VARIABLE rc OUTPUT_VARIABLE output ERROR_VARIABLE errors)
    if(rc OR output MATCHES " error: ")
        string(REGEX MATCHALL "[^\n]* error: [^\n]*" output "${output}")
        message(FATAL_ERROR "counts: ${TIDY}: ${output}\n${errors}")
    endif()
    string(REPLACE ";" "," output "${output}")
    string(REGEX REPLACE "[][]" "|" output "${output}")  # which CMake joins list elements between
    string(REPLACE "\n" ";" lines "${output}")
    set(function "")
    foreach(line IN LISTS lines)
        if(line MATCHES "include/heed/([^ ]+):([0-9]+):[0-9]+: warning: function '([^']+)' (.*)")
            cmake_path(SET file NORMALIZE ${CMAKE_MATCH_1})  # vec.hpp is also engine/forward/../simd/vec.hpp
            set(function "${CMAKE_MATCH_3} (${file}:${CMAKE_MATCH_2})")
            if(CMAKE_MATCH_4 MATCHES "cognitive complexity of ([0-9]+)")
                list(APPEND complex "complexity ${CMAKE_MATCH_1}: ${function}")
            endif()
        elseif(line MATCHES "note: ([0-9]+) parameters")
            list(APPEND many_parameters "${CMAKE_MATCH_1} parameters: ${function}")
            if(CMAKE_MATCH_1 GREATER_EQUAL 10)
                list(APPEND too_many_parameters "${CMAKE_MATCH_1} parameters: ${function}")
            endif()
        endif()
    endforeach()
endforeach()

# compare(what is counted, the list of it)
set(exceeded "")
function(compare kind list)
    list(REMOVE_DUPLICATES ${list})  # most functions are those of both ISAs
    list(SORT ${list} COMPARE NATURAL ORDER DESCENDING)
    list(LENGTH ${list} count)
    file(STRINGS ${COUNTS} kept REGEX "^${kind}: ")
    if(NOT kept MATCHES ": ([0-9]+)$")
        message(FATAL_ERROR "counts: ${COUNTS} has no number of ${kind}")
    endif()
    set(limit ${CMAKE_MATCH_1})
    message(STATUS "counts: ${count} ${kind}, at most ${limit}")
    foreach(function IN LISTS ${list})
        message(STATUS "counts:     ${function}")
    endforeach()
    if(count GREATER limit)
        set(exceeded "${exceeded}\n  ${count} ${kind}, were ${limit}" PARENT_SCOPE)
    elseif(count LESS limit)
        message(STATUS "counts: write the lower number into counts.txt")
    endif()
endfunction()
compare("functions with 7 or more parameters" many_parameters)
compare("functions with 10 or more parameters" too_many_parameters)
compare("functions with a cognitive complexity above ${complexity_limit}" complex)
if(exceeded)
    message(FATAL_ERROR "counts: more than before:${exceeded}")
endif()
