# examples/browser: the page is compiled by Emscripten, and visited in headless Chromium.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../package/run.cmake)
foreach(needed emcmake=emscripten node=nodejs chromium=chromium chromedriver=chromium-driver)
    string(REPLACE "=" ";" needed ${needed})
    list(GET needed 0 program)
    list(GET needed 1 package)
    find_program(${program}_path ${program})
    if(NOT ${program}_path)
        message(STATUS "browser: skipped without ${program}: apt-get install ${package}")
        return()
    endif()
endforeach()
find_program(python python3 HINTS /usr/bin)  # Debian's, whose packages are Debian's
execute_process(COMMAND ${python} -c "import selenium" RESULT_VARIABLE missing OUTPUT_QUIET ERROR_QUIET)
if(missing)
    message(STATUS "browser: skipped without selenium: apt-get install python3-selenium")
    return()
endif()

run("compile" ${SOURCE}/examples/browser/compile ${WORK})
run("drive.py" ${python} ${CMAKE_CURRENT_LIST_DIR}/drive.py ${WORK}/page ${STORYTELLER} ${SOURCE}/examples/twins/box
    ${WORK}/pictures)
message(STATUS "${run_output}")
