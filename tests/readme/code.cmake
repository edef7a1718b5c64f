# The code of README and of the guide's pages compiles, and drops no status: each block in a function of its own, after the names that the text
# around it takes for granted; a block that starts with a struct at namespace scope.
cmake_minimum_required(VERSION 3.25)
set(text "")
foreach(page README.md examples/guide/what_there_is.md examples/guide/machines_versions_binaries.md)
    file(READ ${ROOT}/${page} one)
    string(APPEND text "${one}\n")
endforeach()
string(REPLACE ";" "<semicolon>" text "${text}")  # a list would be cut there
string(REPLACE "[" "<bracket>" text "${text}")
string(REPLACE "]" "<end>" text "${text}")
string(REGEX MATCHALL "```cpp\n[^`]*```" blocks "${text}")

file(READ ${ROOT}/tests/readme/names.hpp code)
set(n 0)
foreach(block IN LISTS blocks)
    string(REGEX REPLACE "^```cpp\n(.*)```$" "\\1" block "${block}")
    string(REGEX MATCHALL "#include [^\n]*\n" includes "${block}")
    string(REGEX REPLACE "#include [^\n]*\n" "" block "${block}")
    list(JOIN includes "" includes)
    if(block MATCHES "^struct ")
        string(APPEND code "${includes}namespace block_${n} {\n${block}}\n")
    else()
        string(APPEND code "${includes}void block_${n}()\n{\n${block}}\n")
    endif()
    math(EXPR n "${n} + 1")
endforeach()
if(n LESS 5)
    message(FATAL_ERROR "found ${n} blocks of code")
endif()
string(REPLACE "<semicolon>" ";" code "${code}")
string(REPLACE "<bracket>" "[" code "${code}")
string(REPLACE "<end>" "]" code "${code}")
file(WRITE ${WORK}/code.cpp "${code}")

# Debian's xsimd lies in /usr/include, which a compiler searches anyway, and must not be told to search first.
execute_process(COMMAND ${COMPILER} -std=c++20 -fsyntax-only -Wall -Werror=unused-result -I${ROOT}/include -idirafter ${XSIMD}
                        ${WORK}/code.cpp
                RESULT_VARIABLE failed ERROR_VARIABLE said)
if(failed)
    message(FATAL_ERROR "code of README or of the guide does not compile:\n${said}")
endif()
message(STATUS "${n} blocks compile")
