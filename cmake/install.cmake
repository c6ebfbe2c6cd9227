# What `cmake --install` puts where; included by the CMakeLists.txt above. Component lib is for
# running programs, dev for building them, tools has programs that look at others. `cmake --build
# DIR --target weft_uninstall` takes it all away again.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(weft_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

foreach(kind static shared heap)
  if(TARGET weft_${kind})
    install(TARGETS weft_${kind} EXPORT weft_${kind}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
    install(EXPORT weft_${kind} FILE weft_${kind}.cmake NAMESPACE weft::
      DESTINATION ${weft_cmake} COMPONENT dev)
  endif()
endforeach()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/weftConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/weftConfig.cmake cmake/needs.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/weftConfigVersion.cmake DESTINATION ${weft_cmake} COMPONENT dev)

# The prefix is relative to the file, so that `cmake --install --prefix` may choose another.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE WEFT_PC_PREFIX)
string(JOIN " " WEFT_PC_CFLAGS ${WEFT_USERS_OPTIONS})
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

add_custom_target(weft_uninstall COMMAND ${CMAKE_COMMAND}
  -D MANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt
  -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/uninstall.cmake VERBATIM)

# ---- what Debian's packages have beside that ----

# Without it the archive keeps its debug information in a package, which Debian's do not.
install(CODE "if(CMAKE_INSTALL_DO_STRIP)
    file(GLOB archives \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libweft*.a\")
    execute_process(COMMAND ${CMAKE_STRIP} --strip-debug --enable-deterministic-archives \${archives})
  endif()" COMPONENT dev)
