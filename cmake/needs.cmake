# The libraries that weft stands on, all of them Debian's; included by the CMakeLists.txt above, and
# by the installed weftConfig.cmake for programs that link libweft.a. The targets are global, since
# a program in another folder links them with the library.
find_package(PkgConfig REQUIRED)
pkg_check_modules(WEFT_UV REQUIRED IMPORTED_TARGET GLOBAL libuv>=1.44)
pkg_check_modules(WEFT_DW REQUIRED IMPORTED_TARGET GLOBAL libdw libelf)
pkg_check_modules(WEFT_PROTOBUF_C REQUIRED IMPORTED_TARGET GLOBAL libprotobuf-c)
pkg_check_modules(WEFT_ZLIB REQUIRED IMPORTED_TARGET GLOBAL zlib)
set(WEFT_NEEDS PkgConfig::WEFT_UV PkgConfig::WEFT_DW PkgConfig::WEFT_PROTOBUF_C
  PkgConfig::WEFT_ZLIB -pthread)
