# -DTWINS_EXTRA=FILE builds that file into twins, also by a name from where CMake is called, and a file that is not
# there is refused by its name. Configures alone: the file's own compilation is heed-twins_extra's.
cmake_minimum_required(VERSION 3.25)
function(configure extra)
    file(REMOVE_RECURSE ${WORK})
    execute_process(COMMAND ${CMAKE_COMMAND} -S ${ROOT} -B ${WORK} -DCMAKE_CXX_COMPILER=${COMPILER}
                            -DXSIMD_INCLUDE_DIR=${XSIMD} -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DHEED_BUILD_TESTS=OFF
                            -DHEED_BUILD_BENCH=OFF "-DTWINS_EXTRA=${extra}"
                    WORKING_DIRECTORY ${ROOT}
                    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE said)
    string(REGEX REPLACE "[ \n]+" " " said "${said}")
    set(failed "${failed}" PARENT_SCOPE)
    set(said "${said}" PARENT_SCOPE)
endfunction()

configure(examples/twins/extra.cpp)
if(failed)
    message(FATAL_ERROR "TWINS_EXTRA=examples/twins/extra.cpp is refused: ${said}")
endif()
file(READ ${WORK}/compile_commands.json commands)
if(NOT commands MATCHES "twins_extra.dir/extra.cpp.o" OR commands MATCHES "no_extra.cpp")
    message(FATAL_ERROR "TWINS_EXTRA=examples/twins/extra.cpp is not what is compiled")
endif()

configure(examples/twins/nowhere.cpp)
if(NOT failed OR NOT said MATCHES "heed: TWINS_EXTRA: there is no file ${ROOT}/examples/twins/nowhere.cpp")
    message(FATAL_ERROR "TWINS_EXTRA=examples/twins/nowhere.cpp: ${said}")
endif()
file(REMOVE_RECURSE ${WORK})
