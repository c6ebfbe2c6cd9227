#!/usr/bin/env bash
# abi.sh LIBWEFT.SO LIBWEFT.A - the library exports weft_* and nothing else: no libunwind,
# whose _Unwind_* would capture the exceptions of C++ programs, and no llhttp.
set -euo pipefail
lib=$1 archive=$2
failed=0

check() {
    if [ -n "$2" ]; then
        echo "not ok: $1:" $2
        failed=1
    else
        echo "ok: $1"
    fi
}

check "only weft_* is exported, under its version" \
    "$(nm -D --defined-only "$lib" | awk '$2 != "A" && $3 !~ /^weft_[a-z][a-z0-9_]*@@WEFT_0$/ {print $3}')"
check "libunwind is not needed" "$(ldd "$lib" | grep -o 'libunwind[^ ]*' || true)"
check "no llhttp is shown to programs that have their own" \
    "$(nm -g --defined-only "$archive" | awk '$3 ~ /^llhttp_/ {print $3}')"
check "the stack is not executable" "$(readelf -lW "$lib" | awk '/GNU_STACK/ && /RWE/')"
exit $failed
