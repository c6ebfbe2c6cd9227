# What `cmake --install` puts where; included by the CMakeLists.txt above. Component lib is for
# running programs, dev for building them, tools has programs that look at others. `cmake --build
# DIR --target weft_uninstall` takes it all away again.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(weft_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

# weft::heap is an object file, since a definition of malloc must be in the program itself.
foreach(kind static shared heap)
  set(targets weft_${kind})
  if(kind STREQUAL heap)
    list(APPEND targets weft_heap_shared) # for LD_PRELOAD
  endif()
  install(TARGETS ${targets} EXPORT weft_${kind}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
    OBJECTS DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft COMPONENT dev)
  install(EXPORT weft_${kind} FILE weft_${kind}.cmake NAMESPACE weft::
    DESTINATION ${weft_cmake} COMPONENT dev)
endforeach()
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft_heap.o # for pkg-config
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft COMPONENT dev)
foreach(tool ${WEFT_TOOLS})
  install(TARGETS ${tool} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
  install(FILES cmake/docs/${tool}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
endforeach()
install(FILES tools/gdb/weft-gdb.py tools/lldb/weft_lldb.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/weft COMPONENT dev)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/weftConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/weftConfig.cmake cmake/needs.cmake cmake/jemalloc.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/weftConfigVersion.cmake DESTINATION ${weft_cmake} COMPONENT dev)

# The prefix is relative to the file, so that `cmake --install --prefix` may choose another.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE WEFT_PC_PREFIX)
string(JOIN " " WEFT_PC_CFLAGS ${WEFT_USERS_OPTIONS})
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

# The reference, once the target weft_docs has made it.
set(WEFT_DOCS ${CMAKE_CURRENT_BINARY_DIR}/docs)
add_custom_target(weft_docs COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cmake/docs/make.sh ${WEFT_DOCS} VERBATIM)
install(DIRECTORY ${WEFT_DOCS}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT dev OPTIONAL)
install(DIRECTORY ${WEFT_DOCS}/html DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libweft-dev
  COMPONENT dev OPTIONAL)

add_custom_target(weft_uninstall COMMAND ${CMAKE_COMMAND}
  -D MANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt
  -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/uninstall.cmake VERBATIM)

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/package.cmake)
endif()
