cmake_minimum_required(VERSION 3.25)
# Which header may include which. `cmake -DROOT=... -P check.cmake` fails with every line that breaks the table.
#
#   layer          files                                             may include
set(vocabulary    "base/")
set(contracts     "normalizer/contract normalizer/order normalizer/threshold score/contract mask/contract mask/lists kv/contract executor/contract compute")  # vocabulary
set(policies      "normalizer/ score/ mask/ kv/ executor/")        # contracts, as a policy may be a mask and a score map, vocabulary
set(definition    "attention dispatch options gradients observations partial_result")  # contracts; attention knows the default normalizer, and so do those that are made of it
set(simd          "engine/simd/")                                  # vocabulary; xsimd, and intrinsics in arch/
set(micro         "engine/micro/")                                 # vocabulary, simd
set(kernel        "engine/kernel/ engine/workspace")               # contracts, definition, simd, micro
set(forward       "engine/forward/")                               # the same, kernel
set(backward      "engine/backward/")                              # the same, forward
set(observe       "engine/observe/")                               # the same, forward
set(verbs         "attend append hadamard block_summary key_scores top_keys move_rows plan state threshold_state output_gradients backward_plan backward observe reference reference_threshold reference_backward summarise heed engine/planned engine/sound engine/validate engine/cache_checks engine/channel_block_side")  # all above
set(measures      "measure/")                                      # vocabulary: what follows from a verb's results
set(adapters      "adapt/")                                        # verbs, each other, and one foreign header
set(instruments   "testing testing/")                              # all of it; no other layer includes them

set(layers vocabulary contracts policies definition simd micro kernel forward backward observe verbs measures adapters
    instruments)
set(vocabulary_may vocabulary)
set(contracts_may vocabulary contracts)
set(policies_may vocabulary contracts)
set(definition_may vocabulary contracts)
set(simd_may vocabulary simd)
set(micro_may ${simd_may} micro)
set(kernel_may ${micro_may} contracts definition kernel)
set(forward_may ${kernel_may} forward)
set(backward_may ${forward_may} backward)
set(observe_may ${forward_may} observe)
set(verbs_may ${backward_may} observe policies verbs)
set(measures_may vocabulary)
set(adapters_may vocabulary contracts policies definition verbs adapters)
set(instruments_may ${verbs_may} instruments)

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
        if(include MATCHES "<xsimd/" AND NOT file STREQUAL "engine/simd/select.hpp")
            list(APPEND broken "${file}: only engine/simd/select.hpp knows xsimd")
        elseif(include MATCHES "<(immintrin|emmintrin|smmintrin|arm_neon|x86intrin)" AND NOT file MATCHES "^engine/simd/arch/")
            list(APPEND broken "${file}: only engine/simd/arch/ knows intrinsics")
        elseif(include MATCHES "<Eigen/" AND NOT file MATCHES "^adapt/")
            list(APPEND broken "${file}: only adapt/ knows Eigen")
        elseif(include MATCHES "<mpi.h>" AND NOT file MATCHES "^adapt/")
            list(APPEND broken "${file}: only adapt/ knows MPI")
        elseif(include MATCHES "\"(.*)\"")
            get_filename_component(target "${ROOT}/include/heed/${folder}/${CMAKE_MATCH_1}" ABSOLUTE)
            file(RELATIVE_PATH target "${ROOT}/include/heed" "${target}")
            layer_of(${target} target_layer)
            set(may ${${layer}_may})
            if(NOT target_layer IN_LIST may
               AND NOT (file MATCHES "^(attention.hpp|normalizer/)" AND target STREQUAL "normalizer/softmax.hpp"))
                list(APPEND broken "${file} (${layer}) includes ${target} (${target_layer})")
            endif()
        endif()
    endforeach()
endforeach()

# An element type is one file: what others need of it, they ask element_traits for.
foreach(file IN LISTS files)
    if(NOT file MATCHES "^base/element/")
        file(STRINGS "${ROOT}/include/heed/${file}" lines REGEX "is_same_v<.*(q[0-9]+_[0-9]|fp8|int8_t)")
        foreach(line IN LISTS lines)
            string(STRIP "${line}" line)
            list(APPEND broken "${file}: asks for one element type: ${line}")
        endforeach()
    endif()
endforeach()

# A file is known by its name: no other has it, but a contract in each room of policies.
foreach(file IN LISTS files)
    get_filename_component(name "${file}" NAME)
    if(name IN_LIST names AND NOT name STREQUAL "contract.hpp")
        list(APPEND broken "${file}: there is another ${name}")
    endif()
    list(APPEND names ${name})
endforeach()

if(broken)
    list(JOIN broken "\n  " text)
    message(FATAL_ERROR "layering:\n  ${text}")
endif()
list(LENGTH files count)
message(STATUS "layering: ${count} headers keep the table")
