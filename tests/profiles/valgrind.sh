#!/usr/bin/env bash
# valgrind.sh LIVE_SAMPLE HEAP_SAMPLE CPU_SAMPLE - memcheck has nothing to say about switches, stacks
# that come and go, dumps, and samples of memory and CPU time. Status 77: no valgrind.
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

# memcheck's own malloc takes the place of libc's, not of the component's.
samples() { # TEXT VARIABLE=VALUE PROGRAM ARGUMENT
    if env "$2" WEFT_PROCS=2 valgrind -q --error-exitcode=9 \
        --soname-synonyms=somalloc=nouserintercepts "$3" "$4" >/dev/null; then
        echo "ok - memcheck, $1"
    else
        echo "not ok - memcheck, $1"
        failed=1
    fi
}
samples "the heap profile" A= "$2" heap
samples "the heap profile of all blocks" WEFT_HEAP_RATE=1 "$2" heap
samples "the CPU profile" A= "$3" file
exit $failed
