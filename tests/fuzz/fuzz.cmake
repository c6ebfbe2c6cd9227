# Fuzz targets, in a tree configured with -DWEFT_FUZZ=ON and clang: fuzz_NAME from tests/fuzz/NAME.c
# and the sources named. ctest runs each for WEFT_FUZZ_SECONDS, beginning with tests/fuzz/NAME/.
# New inputs that it finds stay in the build tree, and so do inputs that fail.
set(WEFT_FUZZ_SECONDS 30 CACHE STRING "how long each fuzz target runs")

function(weft_fuzz name)
  add_executable(fuzz_${name} tests/fuzz/${name}.c ${ARGN})
  target_include_directories(fuzz_${name} PRIVATE include tests)
  target_include_directories(fuzz_${name} SYSTEM PRIVATE ${WEFT_LLHTTP_INCLUDE})
  target_compile_definitions(fuzz_${name} PRIVATE ${WEFT_LLHTTP_DEFINITIONS})
  target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined
    -fno-sanitize-recover=undefined)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_libraries(fuzz_${name} PRIVATE weft_flags)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/corpus_${name})
  add_test(NAME fuzz_${name} COMMAND fuzz_${name} -max_total_time=${WEFT_FUZZ_SECONDS}
    -timeout=10 -print_final_stats=1 -dict=${CMAKE_SOURCE_DIR}/tests/fuzz/http.dict
    -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/failed_${name}_
    ${CMAKE_CURRENT_BINARY_DIR}/corpus_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/${name})
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 1200)
endfunction()

set(LLHTTP_FILES ${WEFT_LLHTTP_SOURCE}/api.c ${WEFT_LLHTTP_SOURCE}/http.c ${WEFT_LLHTTP_SOURCE}/llhttp.c)
set_source_files_properties(${LLHTTP_FILES} PROPERTIES COMPILE_OPTIONS -w)
weft_fuzz(http_parse http/wire/framing.c http/wire/parse.c http/wire/path.c ${LLHTTP_FILES})
weft_fuzz(http_path http/server/mux.c http/wire/path.c)
weft_fuzz(flight_read profiles/trace/flight_read.c profiles/trace/settle.c)
