# heed_add_kernels(name TYPE type HEADER header SOURCES file... ARCHS arch...)
#
# Compiles the same sources for several CPUs, into one static library, with a function that picks one of them.
#
#     heed_add_kernels(fast TYPE kernels HEADER kernels.hpp SOURCES kernels.cpp ARCHS x86-64 x86-64-v3 x86-64-v4)
#     target_link_libraries(program PRIVATE fast)
#
# HEADER declares TYPE, a struct of pointers to functions of plain types, and includes nothing of heed's but
# heed/dispatch.hpp. One of SOURCES defines a constant of that type under the name HEED_TABLE, which is another one in
# each compilation:
#
#     extern const kernels HEED_TABLE;
#     const kernels HEED_TABLE = {&attend};
#
# A program includes "fast.hpp" and calls fast(), which is of type const heed::compiled_for<kernels>&: fast().table is the
# table for this CPU, fast().arch the machine it is compiled for. It is picked at the first call, from any thread.
#
# ARCHS stand from the oldest to the newest, the first for what every CPU has that runs the program; heed/dispatch.hpp
# lists them; the compiler must know them. Include directories, definitions
# and options of the library `name`, set behind this call, hold for all compilations; -march is not among them.
function(heed_add_kernels name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TYPE;HEADER" "SOURCES;ARCHS")
    foreach(needed TYPE HEADER SOURCES ARCHS)
        if(NOT arg_${needed})
            message(FATAL_ERROR "heed_add_kernels(${name} ...): ${needed} is missing")
        endif()
    endforeach()
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "heed_add_kernels(${name} ...): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    get_filename_component(header "${arg_HEADER}" ABSOLUTE)

    set(declared "")
    set(listed "")
    set(objects "")
    foreach(arch IN LISTS arg_ARCHS)
        heed_flags_of("${name}" "${arch}" flags)
        string(MAKE_C_IDENTIFIER "${name}_for_${arch}" table)
        add_library(${table} OBJECT ${arg_SOURCES})
        target_link_libraries(${table} PRIVATE heed::heed)
        target_compile_options(${table} PRIVATE $<TARGET_PROPERTY:${name},COMPILE_OPTIONS> ${flags})
        target_compile_definitions(${table} PRIVATE HEED_TABLE=${table} $<TARGET_PROPERTY:${name},COMPILE_DEFINITIONS>)
        target_include_directories(${table} PRIVATE $<TARGET_PROPERTY:${name},INCLUDE_DIRECTORIES>)
        set_target_properties(${table} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        string(APPEND declared "extern const ${arg_TYPE} ${table};\n")
        string(APPEND listed "        {\"${arch}\", &${table}},\n")
        list(APPEND objects $<TARGET_OBJECTS:${table}>)
    endforeach()

    set(folder "${CMAKE_CURRENT_BINARY_DIR}/${name}.kernels")
    file(GENERATE OUTPUT "${folder}/${name}.hpp" CONTENT
"// Written by heed_add_kernels().
#pragma once
#include \"${header}\"
#include <heed/dispatch.hpp>

/// The table for this CPU: the last of ${arg_ARCHS} that it is, or HEED_KERNELS names.
const heed::compiled_for<${arg_TYPE}>& ${name}();
")
    file(GENERATE OUTPUT "${folder}/${name}.cpp" CONTENT
"// Written by heed_add_kernels().
#include \"${name}.hpp\"

${declared}
const heed::compiled_for<${arg_TYPE}>& ${name}()
{
    static const heed::compiled_for<${arg_TYPE}> all[] = {
${listed}    };
    static const heed::compiled_for<${arg_TYPE}>& best = heed::dispatch(all);
    return best;
}
")
    add_library(${name} STATIC "${folder}/${name}.cpp" ${objects})
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)  # shared libraries may be made of it
    target_link_libraries(${name} PUBLIC heed::heed)
    target_include_directories(${name} PUBLIC "${folder}")
endfunction()

# heed_flags_of(name arch result): what compiles for one of ARCHS; stops where heed/dispatch.hpp could not tell it.
function(heed_flags_of name arch result)
    set(x86 "x86-64|x86-64-v2|x86-64-v3|x86-64-v4")
    set(x86_extensions "avx512bf16|avx512fp16|avx512vnni|avxvnni|avx512vbmi|avx512vbmi2|avx512ifma|avx512bitalg|avx512vpopcntdq|gfni")
    set(arm "armv8-a|armv8.1-a|armv8.2-a|armv9-a")
    set(arm_extensions "fp16|dotprod|bf16|i8mm|sve|sve2")
    string(REPLACE "." "\\." arm_pattern "${arm}")
    if(arch MATCHES "^(${x86})((\\+(${x86_extensions}))*)$")
        set(flags -march=${CMAKE_MATCH_1})
        string(REPLACE "+" ";-m" extensions "${CMAKE_MATCH_2}")
        list(APPEND flags ${extensions})
    elseif(arch MATCHES "^(${arm_pattern})((\\+(${arm_extensions}))*)$")
        set(flags -march=${arch})
    else()
        message(FATAL_ERROR "heed_add_kernels(${name} ...): ${arch} in ARCHS is none of ${x86} with +${x86_extensions}, "
                            "none of ${arm} with +${arm_extensions}")
    endif()
    set(${result} ${flags} PARENT_SCOPE)
endfunction()
