#!/usr/bin/env bash
# abi.sh LIBWEFT.SO - what the shared library shows to the world: weft_* and nothing else, and no
# libunwind, whose _Unwind_* would take C++ programs' exceptions over.
set -euo pipefail
lib=$1
failed=0

check() {
    if [ -n "$2" ]; then
        echo "not ok: $1:" $2
        failed=1
    else
        echo "ok: $1"
    fi
}

check "only weft_* is exported" "$(nm -D --defined-only "$lib" | awk '$3 !~ /^weft_[a-z]/ {print $3}')"
check "no internal name is exported" "$(nm -D --defined-only "$lib" | awk '$3 ~ /^weft__/ {print $3}')"
check "libunwind is not needed" "$(ldd "$lib" | grep -o 'libunwind[^ ]*' || true)"
check "the stack is not executable" "$(readelf -lW "$lib" | awk '/GNU_STACK/ && /RWE/')"
exit $failed
