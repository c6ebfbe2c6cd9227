# The bench's programs of ours; included by the CMakeLists.txt above.
#
# bench_unwatched, for bench/resume.py, differs in one line: its park.c reports no end of a wait to
# the profiles.
add_library(park_unwatched OBJECT EXCLUDE_FROM_ALL runtime/sched/park.c)
target_compile_definitions(park_unwatched PRIVATE WEFT__UNWATCHED)
target_include_directories(park_unwatched PRIVATE include)
target_link_libraries(park_unwatched PRIVATE weft_flags)
foreach(program bench bench_unwatched bench_unheaped)
  add_executable(${program} EXCLUDE_FROM_ALL
    bench/bench.c
    bench/blocked.c
    bench/chan.c
    bench/cpu.c
    bench/dump.c
    bench/fd.c
    bench/gap.c
    bench/heap.c
    bench/hogs.c
    bench/known.c
    bench/lock.c
    bench/page.c
    bench/park.c
    bench/scrape.c
    bench/serve.c
    bench/storm.c
    bench/switch.c
    bench/timer.c
    bench/trace.c
    bench/waits.c
    bench/walk.c)
  target_link_libraries(${program} PRIVATE weft_flags weft Threads::Threads)
endforeach()
# For bench/start.py: the least programs on weft, whose library is shared, and on libuv.
add_executable(bench_hello EXCLUDE_FROM_ALL bench/hello.c)
target_link_libraries(bench_hello PRIVATE weft_flags weft_shared)
add_executable(bench_hello_uv EXCLUDE_FROM_ALL bench/hello_uv.c)
target_link_libraries(bench_hello_uv PRIVATE weft_flags PkgConfig::WEFT_UV)
# bench_unheaped, for bench/heap.py, has no component weft_heap.
set_target_properties(bench_unheaped PROPERTIES WEFT_NO_HEAP ON)
target_sources(bench_unwatched PRIVATE $<TARGET_OBJECTS:park_unwatched>)

add_executable(bench_render EXCLUDE_FROM_ALL bench/render.c)
target_link_libraries(bench_render PRIVATE weft_render_fake)
