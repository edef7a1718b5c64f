cmake_minimum_required(VERSION 3.25)
# Names in include/heed keep the rules of .clang-tidy, and clang-tidy does notice one that breaks them.
find_program(CLANG_TIDY NAMES clang-tidy)
if(NOT CLANG_TIDY)
    message(STATUS "naming: skipped: no clang-tidy: apt-get install clang-tidy")
    return()
endif()

# names_in(include folder, source): what is wrong with names in the headers that the source includes.
function(names_in folder source)
    foreach(flags "" -march=x86-64-v3 "-march=x86-64-v4;-mavx512bf16;-mavx512vnni;-mavx512vbmi")
        execute_process(COMMAND ${CLANG_TIDY} --config-file=${ROOT}/.clang-tidy --quiet ${source} -- -std=c++17 ${flags}
                                -I${folder} -idirafter ${XSIMD}
                        RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE errors)
        if(failed)
            message(FATAL_ERROR "clang-tidy failed:\n${said}${errors}")
        endif()
        string(APPEND text "${said}")
    endforeach()
    set(found "${text}" PARENT_SCOPE)
endfunction()

file(WRITE ${WORK}/wrong/include/heed/wrong.hpp "namespace heed { struct Wrong { int Size; }; }\n")
file(WRITE ${WORK}/wrong/wrong.cpp "#include <heed/wrong.hpp>\n")
names_in(${WORK}/wrong/include ${WORK}/wrong/wrong.cpp)
foreach(name Wrong Size)
    if(NOT found MATCHES "'${name}'")
        message(FATAL_ERROR "clang-tidy did not notice the name ${name}:\n${found}")
    endif()
endforeach()

file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/heed/*.hpp)
list(FILTER headers EXCLUDE REGEX "adapt/|executor/openmp|engine/simd/arch/")  # foreign libraries; one machine's
list(TRANSFORM headers REPLACE "(.+)" "#include <\\1>\n" OUTPUT_VARIABLE includes)
list(JOIN includes "" includes)
file(WRITE ${WORK}/headers.cpp "${includes}")
names_in(${ROOT}/include ${WORK}/headers.cpp)
if(found)
    message(FATAL_ERROR "${found}")
endif()
