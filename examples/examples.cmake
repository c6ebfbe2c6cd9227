# The examples; included by the CMakeLists.txt above.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)

add_executable(weft_index
  examples/index/index.c
  examples/index/main.c
  examples/index/table.c)
target_link_libraries(weft_index PRIVATE weft_flags weft)

set(WEFT_ORDERS # without main
  examples/orders/api.c
  examples/orders/cache.c
  examples/orders/catalogue.c
  examples/orders/shop.c
  examples/orders/store.c)
add_executable(weft_orders examples/orders/main.c ${WEFT_ORDERS})
add_executable(weft_orders_unheaped EXCLUDE_FROM_ALL examples/orders/main.c ${WEFT_ORDERS}) # for the bench
set_target_properties(weft_orders_unheaped PROPERTIES WEFT_NO_HEAP ON)
foreach(program weft_orders weft_orders_unheaped)
  target_link_libraries(${program} PRIVATE weft_flags weft PkgConfig::JANSSON PkgConfig::SQLITE)
endforeach()

add_executable(weft_load examples/load.c)
target_link_libraries(weft_load PRIVATE weft_flags weft)

# In C++, with the warnings that weft/weft.hpp is to be free of.
set(WEFT_CXX_STRICT -Wold-style-cast $<$<CXX_COMPILER_ID:GNU>:-Wuseless-cast>)
add_executable(weft_words examples/words.cc)
target_compile_features(weft_words PRIVATE cxx_std_17)
target_compile_options(weft_words PRIVATE ${WEFT_CXX_STRICT})
target_link_libraries(weft_words PRIVATE weft_flags weft)
