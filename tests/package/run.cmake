cmake_minimum_required(VERSION 3.25)
# run(what command...): runs a command, fails with its output.
function(run what)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "${what} failed:\n${text}")
    endif()
    set(run_output "${text}" PARENT_SCOPE)
endfunction()
