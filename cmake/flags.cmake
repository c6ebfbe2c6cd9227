# The flags of compilers; included by the CMakeLists.txt above.

# For programs that use weft. A frame larger than the guard below a stack touches the guard and does
# not reach beyond it; a function that ends with a call stays in the stacks of dumps.
set(WEFT_USERS_OPTIONS -fstack-clash-protection -fno-optimize-sibling-calls)

# One place for the flags of everything that the project compiles.
add_library(weft_flags INTERFACE)
target_compile_definitions(weft_flags INTERFACE _GNU_SOURCE WEFT_CHECK=${WEFT_CHECK})
target_include_directories(weft_flags INTERFACE ${PROJECT_SOURCE_DIR}) # "runtime/sched/park.h"
target_compile_options(weft_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla $<$<BOOL:${WEFT_DEVELOP}>:-Werror>
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes -Wstrict-prototypes>
  $<IF:$<BOOL:${WEFT_OMIT_FP}>,-fomit-frame-pointer,-fno-omit-frame-pointer>
  -ftls-model=initial-exec -fasynchronous-unwind-tables ${WEFT_USERS_OPTIONS})
if(WEFT_SANITIZE STREQUAL "address")
  target_compile_options(weft_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  target_link_options(weft_flags INTERFACE -fsanitize=address,undefined)
elseif(WEFT_SANITIZE STREQUAL "thread")
  target_compile_options(weft_flags INTERFACE -fsanitize=thread)
  target_link_options(weft_flags INTERFACE -fsanitize=thread)
endif()
