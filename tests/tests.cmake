# The tests; included by the CMakeLists.txt above.
#
# weft_test(test_chan [SOURCES ...] [PROCS 1 2 4] [CHAOS]): a program of tests, by default of NAME.c,
# run once at each number of processors, and with CHAOS at WEFT_TEST_CHAOS seeds as well.
# weft_torture(torture_park): a program called with SECONDS and SEED; ctest gives it two seconds,
# ./run torture as long as it is told. weft_script(NAME ARGS...): runs the script. All of them find
# their files in ${folder}, which each part of this list sets first.
enable_testing()
set(WEFT_TEST_PROCS 1 2 4 CACHE STRING "numbers of processors the tests run at")
set(WEFT_TEST_CHAOS 0 CACHE STRING "seeds of schedule fuzzing for the tests marked CHAOS")

# ---- helpers ----
add_library(weft_check STATIC tests/check.c tests/support.c)
target_link_libraries(weft_check PRIVATE weft_flags weft)

function(weft_add_run name label environment)
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}" LABELS ${label}
    SKIP_RETURN_CODE 77 TIMEOUT 1200)
endfunction()

function(weft_script file)
  get_filename_component(name ${file} NAME_WE)
  weft_add_run(${name} plain "" ${CMAKE_SOURCE_DIR}/${folder}/${file} ${ARGN})
endfunction()

function(weft_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "CHAOS" "" "SOURCES;PROCS;LIBS")
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${folder}/${name}.c)
  endif()
  if(NOT arg_PROCS)
    set(arg_PROCS ${WEFT_TEST_PROCS})
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE tests)
  target_link_libraries(${name} PRIVATE weft_flags weft_check weft ${arg_LIBS})
  foreach(procs IN LISTS arg_PROCS)
    weft_add_run(${name}_p${procs} plain "WEFT_PROCS=${procs}" ${name})
  endforeach()
  if(arg_CHAOS AND WEFT_TEST_CHAOS GREATER 0)
    foreach(seed RANGE 1 ${WEFT_TEST_CHAOS})
      math(EXPR procs "1 << (${seed} % 3)")
      weft_add_run(${name}_seed${seed} chaos "WEFT_PROCS=${procs};WEFT_CHAOS=${seed}" ${name})
    endforeach()
  endif()
endfunction()

function(weft_torture name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${folder}/${name}.c)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE tests)
  target_link_libraries(${name} PRIVATE weft_flags weft)
  foreach(procs IN LISTS WEFT_TEST_PROCS)
    weft_add_run(${name}_p${procs} torture "WEFT_PROCS=${procs}" ${name} 2 1)
  endforeach()
endfunction()

# A program that a script runs.
function(weft_sample name)
  add_executable(${name} ${folder}/${name}.c)
  target_link_libraries(${name} PRIVATE weft_flags weft)
endfunction()

# weft_wraps(TARGET FUNCTION...): calls of the function go to the test's __wrap_FUNCTION.
function(weft_wraps name)
  list(TRANSFORM ARGN PREPEND LINKER:--wrap=)
  target_link_options(${name} PRIVATE ${ARGN})
endfunction()

# Two libraries for those that reload them.
foreach(which first second)
  add_library(reload_${which} MODULE tests/profiles/reload.c)
  target_link_libraries(reload_${which} PRIVATE weft_flags)
  target_link_options(reload_${which} PRIVATE LINKER:--build-id)
endforeach()
target_compile_definitions(reload_second PRIVATE IS_SECOND)
function(weft_reloads name)
  add_dependencies(${name} reload_first reload_second)
  target_compile_definitions(${name} PRIVATE RELOAD_FIRST="$<TARGET_FILE:reload_first>"
    RELOAD_SECOND="$<TARGET_FILE:reload_second>")
endfunction()

# ---- the tests' own ----
set(folder tests)
add_executable(check_sample tests/check_sample.c)
target_link_libraries(check_sample PRIVATE weft_flags weft_check weft)
weft_script(check_selftest.sh $<TARGET_FILE:check_sample>)

# ---- runtime ----
set(folder tests/runtime)
weft_torture(torture_handoff)
weft_torture(torture_park)
foreach(noun chan select mutex rwmutex cond once sema waitgroup group nested time task wake net conn
    udp sockopt sinks)
  weft_test(test_${noun} CHAOS)
endforeach()
weft_wraps(test_net weft__sys_accept)
weft_test(test_exceptions SOURCES tests/runtime/test_exceptions.cc CHAOS)
weft_torture(torture_exceptions SOURCES tests/runtime/torture_exceptions.cc)
foreach(noun children fd foreign groups lifetime net procs runs sinks storm)
  weft_torture(torture_${noun})
endforeach()
weft_wraps(torture_storm weft__thread_start_user)
foreach(noun env rules run reruns child limits foreign fork blocking signal fd steady stack
    lifetime misuse storm end layout cpus files surroundings
    embed foreign_io procs log)
  weft_test(test_${noun})
endforeach()
weft_wraps(test_end weft__global_push)
weft_test(test_exit LIBS ${CMAKE_DL_LIBS})
weft_test(test_supply CHAOS)
weft_wraps(test_supply weft__thread_start_user pthread_create)
# A primitive of its own. Its wait reason stands in a copy of the list, for which the sources are
# compiled again that know how many reasons there are.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS runtime/sched/wait.h)
file(READ runtime/sched/wait.h reasons)
string(REPLACE "\n\nenum weft__reason {" " \\
    XX(TOY_LATCH, \"toy latch\", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)\n\nenum weft__reason {"
  reasons "${reasons}")
file(CONFIGURE OUTPUT toy/runtime/sched/wait.h CONTENT "${reasons}" @ONLY)
weft_test(test_toy_latch SOURCES tests/runtime/test_toy_latch.c tests/runtime/toy_latch.c
  runtime/sched/park.c profiles/account/sample.c CHAOS)
target_include_directories(test_toy_latch BEFORE PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/toy)
if(NOT WEFT_SANITIZE)
  weft_script(embed_python.py $<TARGET_FILE:weft_shared>)
endif()
weft_script(chan_types.sh ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER} ${CMAKE_SOURCE_DIR}/include)

# The runtime alone: no profile is linked.
add_executable(test_alone tests/runtime/test_alone.c $<TARGET_OBJECTS:weft_runtime>)
target_include_directories(test_alone PRIVATE include)
target_link_libraries(test_alone PRIVATE weft_flags PkgConfig::WEFT_UV Threads::Threads)
weft_add_run(test_alone plain "" test_alone)

# ---- http ----
set(folder tests/http)
foreach(noun parse mux) # these look inside
  weft_test(test_http_${noun} SOURCES tests/http/test_http_${noun}.c tests/http/http_client.c)
  target_include_directories(test_http_${noun} SYSTEM PRIVATE ${WEFT_LLHTTP_INCLUDE})
  target_compile_definitions(test_http_${noun} PRIVATE ${WEFT_LLHTTP_DEFINITIONS})
endforeach()
weft_test(test_http SOURCES tests/http/test_http.c tests/http/http_client.c)
weft_test(test_http_early SOURCES tests/http/test_http_early.c tests/http/http_client.c)
weft_torture(torture_http)
weft_sample(http_sample)
foreach(noun expvar debug)
  weft_test(test_${noun} LIBS PkgConfig::JANSSON)
  weft_wraps(test_${noun} weft__alloc_try)
endforeach()

# ---- profiles ----
set(folder tests/profiles)
# Renderers over made-up symbols, so that golden files are the same everywhere.
add_library(weft_render_fake STATIC ${WEFT_PROFILES_RENDER} ${WEFT_PROFILES_TABLE}
  tests/profiles/fake_symbols.c)
target_include_directories(weft_render_fake PUBLIC include tests ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(weft_render_fake PUBLIC weft_flags PkgConfig::WEFT_PROTOBUF_C PkgConfig::WEFT_ZLIB
  Threads::Threads)
add_executable(test_render tests/profiles/test_render.c)
target_link_libraries(test_render PRIVATE weft_render_fake)
weft_wraps(test_render malloc calloc realloc strdup)
weft_add_run(render plain "" test_render ${CMAKE_SOURCE_DIR}/tests/profiles/golden
  ${CMAKE_CURRENT_BINARY_DIR}/rendered)
weft_script(readers.sh ${CMAKE_CURRENT_BINARY_DIR}/rendered)
set_tests_properties(readers PROPERTIES DEPENDS render)

# The walker; libunwind is its judge here, and nowhere else.
pkg_check_modules(LIBUNWIND REQUIRED IMPORTED_TARGET libunwind)
add_library(weft_unwind STATIC ${WEFT_PROFILES_WALK})
target_include_directories(weft_unwind PUBLIC include)
target_link_libraries(weft_unwind PUBLIC weft_flags PkgConfig::WEFT_DW PkgConfig::WEFT_ZLIB Threads::Threads)
add_executable(test_unwind tests/profiles/test_unwind.c tests/profiles/unwind_nofp.c)
set_source_files_properties(tests/profiles/unwind_nofp.c PROPERTIES COMPILE_OPTIONS
  "-O2;-fomit-frame-pointer")
target_link_libraries(test_unwind PRIVATE weft_unwind PkgConfig::LIBUNWIND)
weft_reloads(test_unwind)
weft_add_run(unwind plain "" test_unwind)
add_library(bare MODULE tests/profiles/bare.c)
target_compile_options(bare PRIVATE -g -O2 -fomit-frame-pointer -fno-asynchronous-unwind-tables
  -fno-unwind-tables -fno-sanitize=all)
add_executable(test_rows tests/profiles/test_rows.c)
add_dependencies(test_rows bare)
target_compile_definitions(test_rows PRIVATE BARE="$<TARGET_FILE:bare>")
target_link_libraries(test_rows PRIVATE weft_unwind PkgConfig::LIBUNWIND PkgConfig::WEFT_ZLIB)
weft_reloads(test_rows)
weft_add_run(rows plain "" test_rows)
add_executable(test_symbolize tests/profiles/test_symbolize.c)
target_link_libraries(test_symbolize PRIVATE weft_unwind)
weft_reloads(test_symbolize)
weft_add_run(symbolize plain "" test_symbolize)

foreach(noun contention custom label tape trace wall window)
  weft_test(test_${noun} CHAOS)
endforeach()
weft_wraps(test_contention weft__samples_add)
weft_test(test_uncompressed PROCS 2 LIBS PkgConfig::WEFT_DW)
foreach(noun crash delay dump forbidden holders marks memory places shown threads)
  weft_test(test_${noun})
endforeach()
foreach(noun calls contention cpu crash cut label trace)
  weft_torture(torture_${noun})
endforeach()
target_compile_definitions(torture_trace PRIVATE
  TRACE_CHECK="${CMAKE_SOURCE_DIR}/tests/profiles/trace_check.py")
weft_reloads(torture_contention)
weft_reloads(torture_cpu)
weft_wraps(torture_cpu weft__futex_wait weft__cpu_record_new)
if(NOT WEFT_SANITIZE)
  add_executable(torture_sinks_hasty tests/runtime/torture_sinks.c runtime/sched/sinks.c)
  target_include_directories(torture_sinks_hasty PRIVATE include tests)
  target_compile_definitions(torture_sinks_hasty PRIVATE WEFT__HASTY)
  target_link_libraries(torture_sinks_hasty PRIVATE weft_flags weft)
  weft_add_run(torture_mutants torture "WEFT_PROCS=2"
    ${CMAKE_SOURCE_DIR}/tests/torture_mutants.sh
    $<TARGET_FILE:torture_cut> $<TARGET_FILE:torture_sinks_hasty>)
endif()
weft_test(test_reload)
set_target_properties(test_reload PROPERTIES ENABLE_EXPORTS ON)
weft_reloads(test_reload)
if(WEFT_OMIT_FP)
  target_compile_definitions(test_crash PRIVATE WITHOUT_FRAME_POINTERS)
endif()
weft_test(test_libunwind LIBS PkgConfig::LIBUNWIND)
weft_sample(counts_sample)
weft_script(flame_base.sh)
weft_script(counts_pprof.sh $<TARGET_FILE:counts_sample>)
set_tests_properties(counts_pprof PROPERTIES ENVIRONMENT WEFT_PROCS=2)
foreach(name test_heap test_heap_edges)
  weft_test(${name} SOURCES tests/profiles/${name}.c tests/profiles/heap_text.c)
endforeach()
if(NOT WEFT_SANITIZE AND TARGET weft::jemalloc)
  weft_test(test_jemalloc PROCS 2 LIBS weft::jemalloc PkgConfig::JANSSON)
endif()
weft_torture(torture_heap)
weft_sample(heap_sample)
if(NOT WEFT_SANITIZE)
  weft_script(heap_pprof.sh $<TARGET_FILE:heap_sample>)
  weft_script(heap_environments.sh $<TARGET_FILE:weft_static> $<TARGET_FILE:weft_shared>
    ${CMAKE_CURRENT_BINARY_DIR}/weft_heap.o $<TARGET_FILE:weft_heap_shared>)
endif()
weft_test(test_cpu PROCS 2)
weft_sample(cpu_sample)
if(NOT WEFT_SANITIZE STREQUAL thread) # it delays handlers of signals
  weft_script(cpu_pprof.sh $<TARGET_FILE:cpu_sample>)
  set_tests_properties(cpu_pprof PROPERTIES ENVIRONMENT WEFT_PROCS=2)
endif()
weft_sample(toy_profile)
weft_script(toy_pprof.sh $<TARGET_FILE:toy_profile>)

# A live program, seen by other programs.
weft_sample(live_sample)
if(NOT WEFT_SANITIZE)
  foreach(script deep_dump live_pprof gdb_stack)
    weft_script(${script}.sh $<TARGET_FILE:live_sample>)
  endforeach()
  if(CMAKE_C_COMPILER_ID STREQUAL GNU) # Valgrind 3.19 cannot read clang's DWARF 5
    weft_script(valgrind.sh $<TARGET_FILE:live_sample> $<TARGET_FILE:heap_sample>
      $<TARGET_FILE:cpu_sample>)
  endif()
endif()
weft_test(test_flight)
weft_test(test_flight_taken PROCS 2)
# These take their time, and are about no compiler.
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND NOT WEFT_OMIT_FP AND NOT WEFT_SANITIZE)
  weft_test(test_truth PROCS 2)
  weft_test(test_cpu_truth PROCS 1 2 LIBS PkgConfig::SQLITE ${CMAKE_DL_LIBS})
  weft_test(test_window_clock)
  weft_test(test_wall_clock)
  foreach(procs IN LISTS WEFT_TEST_PROCS) # a clock is the truth: nothing runs beside them
    set_tests_properties(test_wall_clock_p${procs} test_window_clock_p${procs} PROPERTIES
      RUN_SERIAL TRUE)
  endforeach()
  weft_script(debug_info.sh $<TARGET_FILE:weft_static> $<TARGET_FILE:weft_shared>)
  weft_script(idle.sh $<TARGET_FILE:live_sample>)
  weft_script(trace_selftest.py)
  weft_sample(trace_sample)
  weft_script(trace_tools.sh $<TARGET_FILE:trace_sample>)
  weft_script(trace_short.py $<TARGET_FILE:torture_trace> 6 2000)
  weft_sample(clock_sample)
  weft_script(trace_clock.py $<TARGET_FILE:clock_sample>)
  weft_sample(flight_sample)
  weft_script(flight_kill.py $<TARGET_FILE:weft-flight> $<TARGET_FILE:flight_sample> 18)
endif()

# ---- tools ----
set(folder tests/tools)
weft_sample(tasks_sample)
weft_wraps(tasks_sample weft__find_work)
set(core) # a sanitizer's memory is too large for one
if(NOT WEFT_SANITIZE)
  set(core core)
endif()
weft_script(gdb_tasks.sh $<TARGET_FILE:tasks_sample> ${core})
weft_script(lldb_tasks.sh $<TARGET_FILE:tasks_sample> ${core})
weft_script(weft_dump.sh $<TARGET_FILE:weft-dump> $<TARGET_FILE:tasks_sample> ${core})
weft_script(weft_top.sh $<TARGET_FILE:weft-top> $<TARGET_FILE:tasks_sample>)
if(TARGET flight_sample)
  weft_script(weft_flight.sh $<TARGET_FILE:weft-flight> $<TARGET_FILE:flight_sample>)
endif()

# ---- what the library is to others ----
set(folder tests)
# Its symbols, and C++ programs, static and shared.
weft_script(abi.sh $<TARGET_FILE:weft_shared> $<TARGET_FILE:weft_static>)
foreach(kind static shared)
  add_executable(abi_cxx_${kind} tests/abi_cxx.cc)
  target_link_libraries(abi_cxx_${kind} PRIVATE weft_flags weft_${kind})
  weft_add_run(abi_cxx_${kind} plain "" abi_cxx_${kind})
endforeach()
add_executable(terminate tests/terminate.cc)
target_link_libraries(terminate PRIVATE weft_flags weft)
weft_script(terminate.sh $<TARGET_FILE:terminate>)

# The examples, and those of the texts.
weft_test(test_orders SOURCES tests/test_orders.c tests/http/http_client.c ${WEFT_ORDERS} PROCS 2
  LIBS PkgConfig::JANSSON PkgConfig::SQLITE)
weft_script(index_example.sh $<TARGET_FILE:weft_index>)
weft_script(words_example.sh $<TARGET_FILE:weft_words>)
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND NOT WEFT_OMIT_FP AND NOT WEFT_SANITIZE)
  weft_script(bench_rows.sh)
endif()
weft_test(test_cpp SOURCES tests/test_cpp.cc CHAOS)
target_compile_features(test_cpp PRIVATE cxx_std_17)
target_compile_options(test_cpp PRIVATE ${WEFT_CXX_STRICT})
target_include_directories(test_cpp SYSTEM PRIVATE tests) # check.h is C
weft_script(orders_example.sh $<TARGET_FILE:weft_orders> $<TARGET_FILE:weft_load>)
if(NOT WEFT_SANITIZE)
  weft_script(debug_clients.sh $<TARGET_FILE:weft_orders> $<TARGET_FILE:weft_load>)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND NOT WEFT_OMIT_FP AND NOT WEFT_SANITIZE)
  weft_script(scrapes.py $<TARGET_FILE:weft_orders> $<TARGET_FILE:weft_load> 20)
  weft_script(pyroscope.py $<TARGET_FILE:weft_orders> $<TARGET_FILE:weft_load> 1 3)
endif()
if(WEFT_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined)
elseif(WEFT_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread)
endif()
weft_script(readme_example.sh $<TARGET_FILE:weft_static> ${CMAKE_C_COMPILER} ${sanitize})
file(GLOB headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS include/weft/*.h)
foreach(header IN LISTS headers) # each has an example
  get_filename_component(noun ${header} NAME_WE)
  weft_add_run(${noun}_example plain "" ${CMAKE_SOURCE_DIR}/tests/header_example.sh ${header}
    $<TARGET_FILE:weft_static> ${CMAKE_C_COMPILER} ${sanitize})
endforeach()
weft_add_run(cpp_example plain "" ${CMAKE_SOURCE_DIR}/tests/header_example.sh
  include/weft/weft.hpp $<TARGET_FILE:weft_static> ${CMAKE_CXX_COMPILER} ${sanitize})

# Refusals of the system. Sanitizers have allocators of their own.
if(NOT WEFT_SANITIZE)
  add_library(inject SHARED tests/inject.c)
  set_target_properties(inject PROPERTIES C_VISIBILITY_PRESET default)
  weft_sample(inject_sample)
  weft_add_run(inject torture "" ${CMAKE_SOURCE_DIR}/tests/torture_inject.py
    ${CMAKE_CURRENT_BINARY_DIR} 100 1)
endif()
