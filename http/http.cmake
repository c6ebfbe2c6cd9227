# The HTTP server's part of the library; included by the CMakeLists.txt above.
#
# llhttp is compiled from the sources that Debian's node-llhttp ships. Its objects become one, in
# which every llhttp_* name is local except the few that http/ calls, and those are renamed: a
# program may link an llhttp of its own, of any version.
find_path(WEFT_LLHTTP_INCLUDE llhttp.h PATH_SUFFIXES llhttp HINTS /usr/share/include REQUIRED)
find_path(WEFT_LLHTTP_SOURCE llhttp.c HINTS /usr/share/llhttp REQUIRED)

set(WEFT_LLHTTP_DEFINITIONS LLHTTP_STRICT_MODE=1)
foreach(name init execute resume get_error_pos method_name)
  list(APPEND WEFT_LLHTTP_DEFINITIONS llhttp_${name}=weft__llhttp_${name})
endforeach()

add_library(weft_llhttp_objects OBJECT
  ${WEFT_LLHTTP_SOURCE}/api.c ${WEFT_LLHTTP_SOURCE}/http.c ${WEFT_LLHTTP_SOURCE}/llhttp.c)
target_include_directories(weft_llhttp_objects SYSTEM PRIVATE ${WEFT_LLHTTP_INCLUDE})
target_compile_definitions(weft_llhttp_objects PRIVATE ${WEFT_LLHTTP_DEFINITIONS})
target_link_libraries(weft_llhttp_objects PRIVATE weft_flags)
target_compile_options(weft_llhttp_objects PRIVATE -w)

set(WEFT_LLHTTP ${CMAKE_CURRENT_BINARY_DIR}/weft_llhttp.o)
add_custom_command(
  OUTPUT ${WEFT_LLHTTP}
  COMMAND ${CMAKE_LINKER} -r -o ${WEFT_LLHTTP} $<TARGET_OBJECTS:weft_llhttp_objects>
  COMMAND ${CMAKE_OBJCOPY} --wildcard --localize-symbol=llhttp_* ${WEFT_LLHTTP}
  DEPENDS weft_llhttp_objects $<TARGET_OBJECTS:weft_llhttp_objects>
  COMMAND_EXPAND_LISTS)
set_source_files_properties(${WEFT_LLHTTP} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
