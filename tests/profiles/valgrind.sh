#!/usr/bin/env bash
# valgrind.sh LIVE_SAMPLE - memcheck has nothing to say about switches, stacks that come and go, and
# dumps. Status 77: no valgrind.
set -euo pipefail
command -v valgrind >/dev/null || {
    echo "valgrind: skipped, there is none"
    exit 77
}
failed=0
for guard in madvise mprotect canary; do
    for procs in 1 2; do
        if WEFT_GUARD=$guard WEFT_PROCS=$procs valgrind -q --error-exitcode=9 "$1" mixed; then
            echo "ok - memcheck, $procs processors, guard $guard"
        else
            echo "not ok - memcheck, $procs processors, guard $guard"
            failed=1
        fi
    done
done
exit $failed
