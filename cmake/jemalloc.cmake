# weft::jemalloc, for programs that want jemalloc's malloc: the profiles of the heap then say so, and
# count its size classes. Included by the CMakeLists.txt above, and by the installed
# weftConfig.cmake. The library itself is enough, without the headers of libjemalloc-dev.
find_library(WEFT_JEMALLOC NAMES jemalloc libjemalloc.so.2)
mark_as_advanced(WEFT_JEMALLOC)
if(WEFT_JEMALLOC AND NOT TARGET weft::jemalloc)
  add_library(weft::jemalloc INTERFACE IMPORTED GLOBAL)
  # The program names no function of it that libc has not.
  target_link_libraries(weft::jemalloc INTERFACE
    -Wl,--push-state,--no-as-needed ${WEFT_JEMALLOC} -Wl,--pop-state)
endif()
