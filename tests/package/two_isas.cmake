cmake_minimum_required(VERSION 3.25)
# Four translation units of one program, compiled for AVX2, for AVX-512, in plain C++, and for AVX2 with sizes of one's
# own: no function of heed that the linker could merge may be in two of them, and the program gets the same bits from all.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(MAKE_DIRECTORY ${WORK}/two_isas)

# Flags that let a compiler use other instructions give the namespace another name.
file(WRITE ${WORK}/two_isas/name.cpp "#include <heed/base/config.hpp>\nHEED_STRING(HEED_ABI)\n")
foreach(flags -march=x86-64 -march=x86-64-v2 -march=x86-64-v3 "-march=x86-64-v3 -DHEED_PORTABLE" "-march=x86-64-v3 -mno-f16c"
              -march=x86-64-v4 "-march=x86-64-v4 -mno-avx512vl" "-march=x86-64-v4 -mno-avx512dq"
              "-march=x86-64-v4 -mavx512bf16" "-march=x86-64-v4 -mavx512fp16" "-march=x86-64-v4 -mavx512vnni"
              "-march=x86-64-v4 -mavx512vbmi" "-march=x86-64-v4 -mavx512vbmi2" "-march=x86-64-v4 -mavx512ifma"
              "-march=x86-64-v4 -mavx512bitalg" "-march=x86-64-v4 -mavx512vpopcntdq" "-march=x86-64-v4 -mgfni"
              "-march=x86-64-v4 -mavxvnni" "-march=x86-64-v3 -mavxvnni" "-march=x86-64-v4 -mno-avx512cd" "-march=x86-64-v4 -mno-avx512bw"
              "-march=x86-64-v4 -mno-bmi2" "-march=x86-64-v4 -mno-fma" "-march=x86-64-v4 -mno-popcnt" -mavx512f -march=icelake-server
              "-march=icelake-server -mno-avx512ifma" "-march=x86-64-v4 -fno-exceptions" "-mavx2 -mfma -mf16c"
              "-mavx2 -mfma -mf16c -mbmi2" "-march=x86-64-v3 -mno-bmi" "-march=x86-64-v3 -mno-lzcnt"
              "-march=x86-64-v3 -mno-movbe" "-mavx2 -mfma" -mavx2 -mavx "-mavx -mfma" "-mavx -mf16c" "-mavx -mbmi2"
              -msse4.1 -mssse3 -msse3 "-march=x86-64-v2 -mno-popcnt" -mpopcnt -mxop -mfma4 -mtbm -msse4a)
    separate_arguments(options UNIX_COMMAND "${flags}")
    run("preprocess ${flags}" ${COMPILER} -std=c++17 ${options} -I${SOURCE}/include -E -P ${WORK}/two_isas/name.cpp)
    string(REGEX MATCH "\"v[^\"]*\"" name "${run_output}")
    if(name STREQUAL "" OR name IN_LIST names)
        message(FATAL_ERROR "${flags} has the name of others: ${name}")
    endif()
    list(APPEND names ${name})
endforeach()
list(LENGTH names count)
message(STATUS "${count} names")

# weak_symbols(object): those of heed that the linker could merge.
function(weak_symbols object)
    run("nm" ${CMAKE_NM} -C --defined-only ${object})
    string(REPLACE ";" "," text "${run_output}")
    string(REGEX MATCHALL "[0-9a-f]+ [WVu] [^\n]*" weak "${text}")
    list(TRANSFORM weak REPLACE "^[0-9a-f]+ [WVu] " "")
    list(FILTER weak INCLUDE REGEX "heed")
    set(weak "${weak}" PARENT_SCOPE)
endfunction()

# At -O0 a compiler emits whatever it meets; what is emitted at other levels, package.one_binary compares. The first four
# are linked.
file(WRITE ${WORK}/two_isas/sizes.hpp "#pragma once
template <class Measured>
struct heed_sizes : Measured {
    static constexpr int query_block = 100, small_query_block = 30, strip_bytes = 4096, lines_at_once = 3;
    static constexpr bool two_distances = false, values_from_l2 = true, takes_bands = false;
};
")
set(number 0)
set(symbols "")
set(objects "")
foreach(machine -march=x86-64-v3 -march=x86-64-v4 "-march=x86-64-v3 -DHEED_PORTABLE"
        "-march=x86-64-v3 -DHEED_OWN_SIZES='\"${WORK}/two_isas/sizes.hpp\"'" "-mavx -mfma" "-mavx2 -mfma -mf16c")
    set(object ${WORK}/two_isas/${number}.o)
    separate_arguments(flags UNIX_COMMAND "${machine}")
    run("compile ${machine}" ${COMPILER} -std=c++17 -O0 ${flags} -DATTEND=attend_${number} -I${SOURCE}/include
        -idirafter ${XSIMD} -c ${CMAKE_CURRENT_LIST_DIR}/isa_unit.cpp -o ${object})
    weak_symbols(${object})
    list(LENGTH weak count)
    if(count EQUAL 0)
        message(FATAL_ERROR "${machine}: no symbols to compare")
    endif()
    foreach(symbol IN LISTS weak)
        if(symbol IN_LIST symbols)
            message(FATAL_ERROR "${machine}: in two objects: ${symbol}")
        endif()
    endforeach()
    list(APPEND symbols ${weak})
    if(number LESS 4)
        list(APPEND objects ${object})
    endif()
    math(EXPR number "${number} + 1")
endforeach()
set(program ${WORK}/two_isas/program)
run("link" ${COMPILER} -std=c++17 ${CMAKE_CURRENT_LIST_DIR}/two_isas.cpp ${objects} -o ${program})
run("run" ${program})
message(STATUS "${run_output}")
