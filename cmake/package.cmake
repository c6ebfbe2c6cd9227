# Debian packages by cpack, one for each component; included by install.cmake. `./run package` makes
# them, in a tree with the prefix /usr.
#
# cpack strips libraries and programs; these also have their copyright and changelog, pages for man
# that are packed, and no debug information in archives.
set(packed ${CMAKE_CURRENT_BINARY_DIR}/debian)
file(MAKE_DIRECTORY ${packed})
execute_process(COMMAND gzip -9nc ${CMAKE_CURRENT_SOURCE_DIR}/cmake/debian/changelog
  OUTPUT_FILE ${packed}/changelog.gz COMMAND_ERROR_IS_FATAL ANY)
function(weft_packaged component name)
  install(FILES cmake/debian/copyright ${packed}/changelog.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component})
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
endfunction()
if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
  # gdb loads the script that lies in a library only from folders that its user trusts. It trusts
  # this one from the start.
  install(FILES tools/gdb/weft-gdb.py COMPONENT lib
    DESTINATION ${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR}
    RENAME libweft.so.${PROJECT_VERSION}-gdb.py)
  foreach(component dev tools)
    install(CODE "
      if(CMAKE_INSTALL_DO_STRIP)
        set(root \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX})
        file(GLOB archives \${root}/${CMAKE_INSTALL_LIBDIR}/libweft*.a)
        if(archives)
          execute_process(COMMAND ${CMAKE_STRIP} -g --enable-deterministic-archives \${archives})
        endif()
        file(GLOB_RECURSE pages \${root}/${CMAKE_INSTALL_MANDIR}/*.[137])
        execute_process(COMMAND gzip -9nf \${pages})
      endif()" COMPONENT ${component})
  endforeach()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The weft authors <weft@packages.invalid>")
set(CPACK_PACKAGE_VENDOR weft)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)

weft_packaged(lib libweft${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIB_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/cmake/debian/triggers)
set(CPACK_COMPONENT_LIB_DESCRIPTION "green threads in the manner of Go, on libuv
Tasks on all cores, channels, select, locks, timers, sockets that look
blocking and an HTTP server, which can always show every task and what it
waits for. This is the library that programs need to run.")

weft_packaged(dev libweft-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
string(JOIN ", " CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "${CPACK_DEBIAN_LIB_PACKAGE_NAME} (= ${PROJECT_VERSION})"
  libuv1-dev libdw-dev libelf-dev libprotobuf-c-dev zlib1g-dev)
set(CPACK_COMPONENT_DEV_DESCRIPTION "green threads in the manner of Go (headers, manual)
Tasks on all cores, channels, select, locks, timers, sockets that look
blocking and an HTTP server, which can always show every task and what it
waits for. This has what programs are built with, in C and in C++.")

if(WEFT_TOOLS)
  weft_packaged(tools weft-tools)
endif()
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "look into programs on weft: their tasks, live or in a core
Programs that show the tasks of another program that runs on weft, whether
it lives, is stopped or has left a core file.")
get_cmake_property(CPACK_COMPONENTS_ALL COMPONENTS)
include(CPack)
