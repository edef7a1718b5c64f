cmake_minimum_required(VERSION 3.25)
# heed as one header: the same text each time, the same program as include/ for every instruction set, the same bits.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(here ${WORK}/single_header)
file(REMOVE_RECURSE ${here})
file(MAKE_DIRECTORY ${here}/all)
set(script ${PYTHON} ${SOURCE}/cmake/amalgamate.py)
run("amalgamate" ${script} -o ${here}/heed.hpp)
run("amalgamate again" ${script} -o ${here}/again.hpp)
run("compare" ${CMAKE_COMMAND} -E compare_files ${here}/heed.hpp ${here}/again.hpp)
file(READ ${here}/heed.hpp text)
foreach(part "// SPDX-License-Identifier: MIT\n// heed ${VERSION} in one header" "Permission is hereby granted")
    string(FIND "${text}" "${part}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "heed.hpp does not say \"${part}\"")
    endif()
endforeach()

# compare(folder flags...): a compiler that sees the same words makes the same program. Compared are include.cpp, which
# includes headers, and single.cpp, which includes heed.hpp, of a folder.
function(compare folder include)
    foreach(unit include single)
        run("preprocess ${unit}" ${COMPILER} -std=c++17 ${ARGN} -E -P -I${include} -idirafter ${XSIMD}
            ${folder}/${unit}.cpp -o ${folder}/${unit}.txt)
        file(READ ${folder}/${unit}.txt words)
        string(REGEX REPLACE "[ \t\n]+" " " words "${words}")
        string(STRIP "${words}" words)
        string(SHA256 ${unit}_words "${words}")
    endforeach()
    if(NOT include_words STREQUAL single_words)
        message(FATAL_ERROR "${ARGN}: include.txt and single.txt of ${folder} differ")
    endif()
endfunction()

# Headers of foreign libraries are left out.
file(GLOB_RECURSE headers RELATIVE ${SOURCE}/include/heed ${SOURCE}/include/heed/*.hpp)
list(FILTER headers EXCLUDE REGEX "^(adapt|engine)/|executor/openmp")
list(REMOVE_ITEM headers heed.hpp)
list(SORT headers)
list(PREPEND headers heed.hpp)
run("amalgamate all" ${script} -o ${here}/all/heed.hpp ${headers})
list(TRANSFORM headers REPLACE "(.+)" "#include <heed/\\1>\n" OUTPUT_VARIABLE includes)
list(JOIN includes "" includes)
file(WRITE ${here}/all/include.cpp "${includes}")
file(WRITE ${here}/all/single.cpp "#include \"heed.hpp\"\n#include \"heed.hpp\"\n")
foreach(flags "" -march=x86-64-v3 "-march=x86-64-v4;-mavx512bf16;-mavx512vnni;-mavx512vbmi")
    compare(${here}/all ${SOURCE}/include ${flags})
endforeach()

# Headers under conditions: reached on two branches, first on one that is not taken, or by two that are; and one that
# is meant to be repeated.
set(small ${here}/small)
file(COPY ${SOURCE}/cmake/amalgamate.py DESTINATION ${small}/cmake)
file(COPY ${SOURCE}/LICENSE DESTINATION ${small})
file(COPY ${SOURCE}/include/heed/base/version.hpp DESTINATION ${small}/include/heed/base)
file(WRITE ${small}/include/heed/heed.hpp "#pragma once
#if defined(A)
#include \"wide.hpp\"
#elif defined(B)
#include \"narrow.hpp\"
#endif
#if defined(C)
#include \"narrow.hpp\"
#include <cstddef>
#endif
#include <cstddef>
#define WORD first
#include \"repeated.hpp\"
#undef WORD
#define WORD second
#include \"repeated.hpp\"
")
file(WRITE ${small}/include/heed/wide.hpp "#pragma once\n#include <heed/narrow.hpp>\nwide\n")
file(WRITE ${small}/include/heed/narrow.hpp "#pragma once\nnarrow\n")
file(WRITE ${small}/include/heed/repeated.hpp "WORD\n")
file(WRITE ${small}/include.cpp "#include <heed/heed.hpp>\n")
file(WRITE ${small}/single.cpp "#include \"heed.hpp\"\n")
run("amalgamate a small library" ${PYTHON} ${small}/cmake/amalgamate.py -o ${small}/heed.hpp)
foreach(flags "" -DA -DB -DC "-DA;-DC" "-DB;-DC")
    compare(${small} ${small}/include ${flags})
endforeach()

run("compile against include" ${COMPILER} -std=c++17 -O1 -I${SOURCE}/include -idirafter ${XSIMD}
    ${CMAKE_CURRENT_LIST_DIR}/bits.cpp -o ${here}/include)
run("compile against heed.hpp" ${COMPILER} -std=c++17 -O1 -DSINGLE_HEADER -I${here} -idirafter ${XSIMD}
    ${CMAKE_CURRENT_LIST_DIR}/bits.cpp -o ${here}/single)
run("run with include" ${here}/include)
set(expected "${run_output}")
run("run with heed.hpp" ${here}/single)
if(NOT run_output STREQUAL expected)
    message(FATAL_ERROR "the single header has other bits:\n${run_output}instead of\n${expected}")
endif()
string(REGEX MATCH "^[^\n]*" first_line "${run_output}")
message(STATUS "${first_line}")
