cmake_minimum_required(VERSION 3.25)
# C++17, no exceptions, no RTTI, every warning an error; a plain compiler call with two include paths.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(MAKE_DIRECTORY ${WORK}/plain)
foreach(flags "-O2" "-O2;-march=x86-64-v3" "-O2;-march=x86-64-v4")
    run("compile ${flags}" ${COMPILER} -std=c++17 ${flags} -fno-exceptions -fno-rtti -Wall -Wextra -Wpedantic -Wconversion
        -Wshadow -Werror -I${SOURCE}/include -idirafter ${XSIMD} ${CMAKE_CURRENT_LIST_DIR}/consumer.cpp -o
        ${WORK}/plain/consumer)
endforeach()
