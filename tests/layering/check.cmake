cmake_minimum_required(VERSION 3.25)
# Which header may include which. `cmake -DROOT=... -P check.cmake` fails with every line that breaks the table.
#
#   layer          files                                             may include
set(vocabulary    "version config status checked process element element/ view reach math place table")
set(contracts     "normalizer score mask kv executor")             # vocabulary, not each other
set(policies      "normalizer/ score/ mask/ kv/ executor/")        # their own contract, vocabulary
set(definition    "attention options gradients observations")      # contracts; attention knows the default normalizer
set(machine       "simd micro/")                                   # vocabulary, machine; xsimd, intrinsics
set(kernels       "kernel/")                                       # contracts, definition, machine
set(verbs         "attend append plan state backward observe reference reference_backward validate heed")  # all below
set(measures      "measure/")                                      # vocabulary: what follows from a verb's results
set(adapters      "adapt/")                                        # verbs and one foreign header
set(instruments   "testing testing/")                              # all of it; no other layer includes them

set(layers vocabulary contracts policies definition machine kernels verbs measures adapters instruments)
set(vocabulary_may vocabulary)
set(contracts_may vocabulary)
set(policies_may vocabulary own_contract)
set(definition_may vocabulary contracts)
set(machine_may vocabulary machine)
set(kernels_may vocabulary contracts definition machine kernels)
set(verbs_may vocabulary contracts policies definition machine kernels verbs)
set(measures_may vocabulary)
set(adapters_may vocabulary contracts policies definition verbs)
set(instruments_may vocabulary contracts policies definition machine kernels verbs instruments)

function(layer_of file result)
    foreach(layer IN LISTS layers)
        separate_arguments(entries UNIX_COMMAND "${${layer}}")
        foreach(entry IN LISTS entries)
            if(file STREQUAL "${entry}.hpp" OR (entry MATCHES "/$" AND file MATCHES "^${entry}"))
                set(${result} ${layer} PARENT_SCOPE)
                return()
            endif()
        endforeach()
    endforeach()
    set(${result} unknown PARENT_SCOPE)
endfunction()

set(broken "")
file(GLOB_RECURSE files RELATIVE "${ROOT}/include/heed" "${ROOT}/include/heed/*.hpp")
foreach(file IN LISTS files)
    layer_of(${file} layer)
    if(layer STREQUAL unknown)
        list(APPEND broken "${file}: is in no layer")
        continue()
    endif()

    file(READ "${ROOT}/include/heed/${file}" text)
    string(REGEX MATCHALL "\n" lines "${text}")
    list(LENGTH lines count)
    if(count GREATER 400)
        list(APPEND broken "${file}: ${count} lines, at most 400")
    endif()

    file(STRINGS "${ROOT}/include/heed/${file}" includes REGEX "^#include")
    get_filename_component(folder "${file}" DIRECTORY)
    foreach(include IN LISTS includes)
        if(include MATCHES "<xsimd/" AND NOT file STREQUAL "simd.hpp")
            list(APPEND broken "${file}: only simd.hpp knows xsimd")
        elseif(include MATCHES "<(immintrin|arm_neon|x86intrin)" AND NOT file MATCHES "^micro/arch/")
            list(APPEND broken "${file}: only micro/arch/ knows intrinsics")
        elseif(include MATCHES "<Eigen/" AND NOT file MATCHES "^adapt/")
            list(APPEND broken "${file}: only adapt/ knows Eigen")
        elseif(include MATCHES "\"(.*)\"")
            get_filename_component(target "${ROOT}/include/heed/${folder}/${CMAKE_MATCH_1}" ABSOLUTE)
            file(RELATIVE_PATH target "${ROOT}/include/heed" "${target}")
            layer_of(${target} target_layer)
            set(may ${${layer}_may})
            if(NOT target_layer IN_LIST may
               AND NOT ("own_contract" IN_LIST may AND target STREQUAL "${folder}.hpp")
               AND NOT (file STREQUAL "attention.hpp" AND target STREQUAL "normalizer/softmax.hpp"))
                list(APPEND broken "${file} (${layer}) includes ${target} (${target_layer})")
            endif()
        endif()
    endforeach()
endforeach()

if(broken)
    list(JOIN broken "\n  " text)
    message(FATAL_ERROR "layering:\n  ${text}")
endif()
list(LENGTH files count)
message(STATUS "layering: ${count} headers keep the table")
