# The tools; included by the CMakeLists.txt above.
#
# weft_tool(weft-dump SOURCES ... LIBS ...): a program that is installed. WEFT_TOOLS lists them.
set(WEFT_TOOLS)
function(weft_tool name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE include)
  target_link_libraries(${name} PRIVATE weft_flags ${arg_LIBS})
  list(APPEND WEFT_TOOLS ${name})
  set(WEFT_TOOLS ${WEFT_TOOLS} PARENT_SCOPE)
endfunction()

# The renderers of the library and its names, without the runtime: weft-dump defines
# weft__symbolize for the program that it looks at. The linker drops functions that would need the
# rest of weft.
pkg_check_modules(WEFT_UNWIND_GENERIC REQUIRED IMPORTED_TARGET libunwind-generic)
weft_tool(weft-dump
  SOURCES tools/dump/core.c tools/dump/json.c tools/dump/live.c tools/dump/main.c tools/dump/names.c
    tools/dump/program.c tools/dump/target.c tools/dump/tasks.c tools/dump/walk.c
    profiles/render/forbidden.c profiles/render/frame_text.c profiles/render/labels.c
    profiles/render/output.c profiles/render/stack_text.c profiles/render/tasks_merged.c
    profiles/render/tasks_text.c profiles/table/stacktab.c profiles/walk/cxxname.c
    profiles/walk/dienames.c profiles/walk/names.c profiles/walk/symtab.c profiles/walk/units.c
  LIBS PkgConfig::WEFT_UNWIND_GENERIC PkgConfig::WEFT_DW PkgConfig::WEFT_ZLIB ${CMAKE_DL_LIBS})
target_compile_options(weft-dump PRIVATE -ffunction-sections)
target_link_options(weft-dump PRIVATE LINKER:--gc-sections)

pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(NCURSES REQUIRED IMPORTED_TARGET ncursesw)
weft_tool(weft-top
  SOURCES tools/top/fetch.c tools/top/main.c tools/top/screen.c tools/top/view.c ${WEFT_PROFILE_PB}.c
  LIBS PkgConfig::NCURSES PkgConfig::JANSSON PkgConfig::WEFT_PROTOBUF_C PkgConfig::WEFT_ZLIB Threads::Threads)
target_include_directories(weft-top SYSTEM PRIVATE ${CMAKE_CURRENT_BINARY_DIR})

weft_tool(weft-flight
  SOURCES tools/flight/ends.c tools/flight/main.c tools/flight/resolve.c tools/flight/summary.c
  LIBS weft_static PkgConfig::WEFT_DW)
