# A storyteller that was built without MPI names the package, and tells alone.
cmake_minimum_required(VERSION 3.25)
set(arguments ${BOX}/softpick.bin ${BOX}/tokenizer.bin --prompt "In the" --tokens 4)
string(CONCAT sentence "storyteller: --ranks: this storyteller was built without MPI: "
    "apt-get install libopenmpi-dev openmpi-bin, and build it again\n")
execute_process(COMMAND ${PROGRAM} ${arguments} --ranks OUTPUT_VARIABLE text ERROR_VARIABLE errors RESULT_VARIABLE code)
if(NOT code EQUAL 2 OR NOT text STREQUAL "" OR NOT errors STREQUAL sentence)
    message(FATAL_ERROR "--ranks: ${code}\n${text}${errors}")
endif()
execute_process(COMMAND ${PROGRAM} ${arguments} OUTPUT_VARIABLE text ERROR_VARIABLE errors RESULT_VARIABLE code)
if(code OR NOT text MATCHES "^In the....")
    message(FATAL_ERROR "${arguments}: ${code}\n${text}${errors}")
endif()
execute_process(COMMAND ${PROGRAM} ${arguments} --combine tree ERROR_VARIABLE errors RESULT_VARIABLE code)
if(NOT code EQUAL 2 OR NOT errors STREQUAL "storyteller: --combine: needs --ranks\n")
    message(FATAL_ERROR "--combine without --ranks: ${code}\n${errors}")
endif()
# the name of the option may be a prompt
execute_process(COMMAND ${PROGRAM} ${BOX}/softpick.bin ${BOX}/tokenizer.bin --tokens 0 --prompt --ranks
                OUTPUT_VARIABLE text RESULT_VARIABLE code)
if(code OR NOT text STREQUAL "--ranks\n")
    message(FATAL_ERROR "--prompt --ranks: ${code}\n${text}")
endif()
