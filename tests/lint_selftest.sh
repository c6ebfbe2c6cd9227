#!/usr/bin/env bash
# lint_selftest.sh - a tree that breaks each rule once is reported breach by breach; the same
# code in the places where it is allowed is clean.
set -euo pipefail
lint=$(realpath "$(dirname "$0")/lint.sh")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir -p include/weft runtime profiles http
touch profiles/unwind.h http/conn.h
missed=0

miss() {
    echo "lint does not see: $1"
    missed=$((missed + 1))
}

reports() { grep -qF "$1" <<<"$("$lint" . 2>/dev/null)"; }

# breaks FILE RULE <CODE: the code is a breach in this file, at its last line.
breaks() {
    local line
    cat >"$1"
    line=$(wc -l <"$1")
    reports "$1:$line: $2" || miss "$1:$line: $2"
    rm "$1"
}

breaks runtime/a.c "runtime/ includes nothing" <<<'#include "unwind.h"'
breaks runtime/b.h "runtime/ includes nothing" <<<'#include "../http/conn.h"'
breaks profiles/a.c "profiles/ includes nothing" <<<'#include "conn.h"'
breaks http/server.c "in http/ only debug_" <<<'#include "profiles/unwind.h"'
breaks runtime/worker.c "only runtime/uv_*" <<<'#include <uv.h>'
breaks include/weft/uv.h "only runtime/uv_*" <<<'#include <uv.h>'
breaks runtime/task.c "thread-locals" <<<$'int x;\nstatic _Thread_local int y;'
breaks runtime/chan.c "#if on system" <<<'#ifdef __x86_64__'
breaks profiles/heap.c "#if on system" <<<'#if defined(__linux__) && X'
breaks runtime/mutex.c "atomics are spelled" <<<'static _Atomic int word;'
breaks runtime/run.c "WEFT_ variables" <<<'    const char *s = getenv("WEFT_PROCS");'
breaks http/head.c "case is ASCII's" <<<'    return strncasecmp(a, b, 3);'
breaks runtime/park.c "uv_run" <<<'int f(void) { return uv_run(0, 1); }'
breaks http/conn.c "no pthread condition variable" <<<'    pthread_cond_wait(&c, &m);'
breaks runtime/chan.c "a task is switched" <<<'    weft__switch(a, b);'
breaks runtime/long.c "more than 800 lines" < <(yes '/* */' | head -801)
header=include/weft/needs.h
echo 'struct s { size_t n; };' >$header
reports "$header:1: does not compile alone as C11" || miss "a header that does not compile as C"
echo 'static inline int *f(void *p) { return p; }' >$header
reports "$header:1: does not compile alone as C++17" || miss "a header that C++ refuses"
rm $header

cat >runtime/uv_loop.c <<<$'#include <uv.h>\nint f(void) { return uv_run(0, 1); }'
cat >runtime/self.c <<<'static _Thread_local int y;'
cat >runtime/stack.c <<<'#ifdef __x86_64__'
cat >runtime/atomic.h <<<'#define load __atomic_load_n'
cat >runtime/note.c <<<'/* uv_run( and _Thread_local in a comment are no breach. */'
cat >http/debug_pprof.c <<<'#include "profiles/unwind.h"'
if ! "$lint" . >out.txt 2>&1; then
    echo "lint finds fault with clean code:"
    cat out.txt
    missed=$((missed + 1))
fi
[[ $missed -eq 0 ]] && echo "lint self-test: every rule bites"
