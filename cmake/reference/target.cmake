# The target `reference`: pages about the public headers, reference/html/index.html in the build folder. A warning of
# doxygen's, such as a public name without a comment, is an error.
find_package(Doxygen QUIET)
find_package(Python3 QUIET COMPONENTS Interpreter)
if(NOT DOXYGEN_FOUND OR NOT Python3_FOUND)
    message(STATUS "heed: no target reference without doxygen: apt-get install doxygen python3")
    return()
endif()

set(HEED_REFERENCE_FOLDER "${PROJECT_BINARY_DIR}/reference")
configure_file(cmake/reference/Doxyfile.in reference/Doxyfile @ONLY)
add_custom_target(reference
                  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/reference/build.py ${DOXYGEN_EXECUTABLE}
                          ${PROJECT_SOURCE_DIR} ${HEED_REFERENCE_FOLDER}
                  COMMENT "Reference: ${HEED_REFERENCE_FOLDER}/html/index.html" VERBATIM)
