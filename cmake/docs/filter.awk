# SPDX-License-Identifier: MIT
# filter.awk - what doxygen reads in place of a header: the same code, with comments that doxygen
# takes for its own, and with the line that includes the header. A comment behind code is for that
# code. One that stands alone is for each function that follows without an empty line between and has
# no comment itself.
FNR == 1 { next } # the licence
FNR == 2 { header = $2; sub(/^\/\* [^ ]* - /, "/** @file\n * @brief ") }
header && /^ \*$/ { print " *\n * `#include <" header ">`"; header = "" } # behind the brief text
!inside && /^\/\* .* -+ \*\/$/ { next } # a heading
!inside && !body && /^($|typedef|struct|enum|#)/ { doc = "" }
!inside && /^\/\* / { doc = "" }
!inside && !body && /^(WEFT_API|static inline) / && !/\/\*/ && doc != "" && used++ { printf "%s", doc }
/^{/ { body = 1 }
/^}/ { body = 0 }
!inside && /^ *\/\* / { sub(/\/\* /, "/** "); inside = 1; collect = /^\//; used = 0 }
!inside && /[^ ] *\/\* / { sub(/\/\* /, "/**< "); inside = 1; collect = 0 }
{ print }
inside && collect { doc = doc $0 "\n" }
/\*\/ *\\?$/ { inside = 0 }
