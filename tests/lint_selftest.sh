#!/usr/bin/env bash
# lint_selftest.sh - a tree that breaks each rule once is reported breach by breach; the same
# code in the places where it is allowed is clean.
set -euo pipefail
lint=$(realpath "$(dirname "$0")/lint.sh")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir -p bench include/weft runtime/{base,machine,sched,sync,io,uv,run} profiles/{walk,table,capture,heap,cpu,render,trace,account} \
    http/{wire,server,debug} tools/{dump,flight,top}
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

breaks runtime/sync/a.c "runtime/sync/ includes nothing of a higher" <<<'#include "profiles/walk/unwind.h"'
breaks runtime/sched/b.h "runtime/sched/ includes nothing of a higher" <<<'#include "runtime/sync/chan.h"'
breaks runtime/sched/task.c "runtime/sched/ includes nothing of a higher" <<<'#include "runtime/sync/chan.h"'
breaks profiles/walk/a.c "profiles/walk/ includes nothing of a higher" <<<'#include "http/server/conn.h"'
breaks http/debug/pprof.c "http/debug/ includes nothing of a higher" <<<'#include "tools/dump/walk.h"'
breaks http/server/server.c "http/wire/ and http/server/ include nothing" <<<'#include "profiles/walk/unwind.h"'
breaks runtime/late.c "files live in a folder" <<<'int x;'
breaks runtime/run/run.c "includes are written from the root" <<<'#include "task.h"'
breaks http/wire/path.h "includes are written from the root" <<<'#include "../../runtime/base/utf8.h"'
breaks runtime/sched/worker.c "only runtime/uv/" <<<'#include <uv.h>'
breaks include/weft/uv.h "only runtime/uv/" <<<'#include <uv.h>'
breaks runtime/base/README.md "a conflict of git" <<<'>>>>>>> 0123abc (its subject)'
breaks runtime/sched/task.c "thread-locals" <<<$'int x;\nstatic _Thread_local int y;'
breaks runtime/sync/chan.c "#if on system" <<<'#ifdef __x86_64__'
breaks profiles/account/heap.c "#if on system" <<<'#if defined(__linux__) && X'
breaks runtime/sync/mutex.c "atomics are spelled" <<<'static _Atomic int word;'
breaks runtime/run/run.c "WEFT_ variables" <<<'    const char *s = getenv("WEFT_PROCS");'
breaks runtime/sync/chan.c "lines of our own" <<<'    fprintf(stderr, "weft: hm\n");'
breaks http/server/conn.c "lines of our own" <<<'    printf("hm\n");'
breaks http/server/head.c "case is ASCII's" <<<'    return strncasecmp(a, b, 3);'
breaks runtime/sched/park.c "uv_run" <<<'int f(void) { return uv_run(0, 1); }'
breaks http/server/conn.c "no pthread condition variable" <<<'    pthread_cond_wait(&c, &m);'
breaks runtime/sync/chan.c "a task is switched" <<<'    weft__switch(a, b);'
breaks runtime/sched/wake.c "a task's state is written" <<<'    weft__store_rel(&t->state, WEFT__RUNNABLE);'
printf '## States\n| IDLE -> DEAD -> IDLE | x | y |\n## The waist\n' >runtime/sched/README.md
printf '    [WEFT__IDLE] = TO(DEAD),\n' >runtime/sched/task.c
reports "moves differ: DEAD -> IDLE" || miss "a move that the code does not know"
rm runtime/sched/README.md runtime/sched/task.c
breaks bench/a.c "words that stop a reader: Whoever" <<<'/* Whoever comes first reads. */'
breaks bench/a.h "words that stop a reader: what is left" <<<$'/* Reads;\n * what is left stays. */'
breaks bench/README.md "words that stop a reader: as above" <<<$'```\namid\n```\nRuns as above, `anew`.'
breaks bench/a.py "words that stop a reader: What" <<<$'"""What is measured."""'
head -20 < <(yes 'int x;') >runtime/io/sock.c
reports "runtime/io/sock.c:1: 0.0 % of its lines are comments" || miss "a file without reasons"
reports "runtime:1: 0.0 % of its lines are comments" || miss "a folder without reasons"
rm runtime/io/sock.c
breaks runtime/io/long.c "more than 800 lines" < <(yes '/* */' | head -801)
breaks runtime/sched/wait.h "include/weft/dump.h has each wait reason" <<<'    XX(NAP, "nap", 0)'
header=include/weft/needs.h
echo 'struct s { size_t n; };' >$header
reports "$header:1: does not compile alone as C11" || miss "a header that does not compile as C"
echo 'static inline int *f(void *p) { return p; }' >$header
reports "$header:1: does not compile alone as strict C++17" || miss "a header that C++ refuses"
rm $header
header=include/weft/needs.hpp
echo 'inline long f() { return (long)1; }' >$header
reports "$header:1: does not compile alone as strict C++17" || miss "an old cast in a header of C++"
echo 'static inline void *f(const void *p) { return (void *)p; }' >include/weft/needs.h
reports "include/weft/needs.h:1: does not compile alone as C11" || miss "a cast that drops const"
rm include/weft/needs.h
rm $header

mkdir cmake
printf '#define WEFT_API\nWEFT_API int weft_a(int); WEFT_API int\n*weft_b(void);\n' >include/weft/a.h
printf '    weft_a;\n    weft_c;\n' >cmake/weft.map
for name in weft_b weft_c; do
    reports "cmake/weft.map:1: the map (sorted) and the WEFT_API functions differ: $name" ||
        miss "$name, in one of map and headers"
done
rm -r cmake include/weft/a.h

# circle TEXT: the files a, b and c are reported with this text, and removed.
circle() {
    reports "circles: $1" || miss "circles: $1"
    rm ./*/*/[abc].[ch]
}

echo 'void weft__a(void) { weft__b(); }' >runtime/sync/a.c
echo 'static void (*const fns[])(void) = {weft__a}; void weft__b(void) {}' >runtime/sync/b.c
circle "runtime/sync has them of [2] files"
echo 'void weft__a(void) { weft__b(); }' >runtime/sched/a.c
echo 'void weft__b(void) {}' >runtime/sync/b.c
circle "1 pairs of files call upward, runtime/sched > runtime/sync"
echo 'static inline void weft__a(void) { weft_c(); }' >profiles/table/a.h
echo 'static inline void weft_c(void) { weft_c_until(1); }' >include/weft/c.h
echo 'void weft_c_until(int n) { weft__a(); }' >profiles/table/c.c
circle "profiles/table has them of [2] files"
echo '/* weft__b() */ struct weft__b; void weft__b(void); void weft__a(void) { f("weft__b"); }' \
    >runtime/sync/a.c
echo 'void weft__b(void) { struct weft__a *p; p->weft__a = 1; weft__a(); }' >runtime/sync/b.c
reports "circles:" && miss "that a declaration, a comment and a member are no calls"
rm runtime/sync/[ab].c

breaks runtime/io/README.md "more than 60 lines" < <(yes x | head -61)
breaks http/wire/README.md "there is no gone.c here" <<<"\`gone.c\`"
printf 'int weft__here(void)\n{\n    return weft__there();\n}\n' >runtime/sched/park.c
breaks runtime/README.md "sched/park.c does not define weft__there" <<<"\`weft__there\` (\`sched/park.c\`)"
hop="\`weft__here\` (\`sched/park.c\`)"
breaks runtime/README.md "a walk enters a file twice" <<<$'## From a to b\n1. '"$hop"$'\n2. '"$hop"
breaks runtime/README.md "a walk has at most 8 hops" <<<"9. $hop"
rm runtime/sched/park.c
breaks profiles/walk/alone.c "its folder's README.md names each file" <<<'int x;'
breaks http/wire/alone.h "its folder's README.md names each file" <<<'int x;'
found=$("$lint" . 2>/dev/null || true)
for folder in runtime profiles http tools runtime/* profiles/* http/* tools/*; do
    grep -qF "$folder/README.md:1: each folder has a README.md" <<<"$found" ||
        miss "$folder without a README"
    touch "$folder/README.md"
done

cat >runtime/uv/loop.c <<<$'#include <uv.h>\nint f(void) { return uv_run(0, 1); }'
cat >runtime/base/self.c <<<'static _Thread_local int y;'
cat >runtime/machine/stack.c <<<'#ifdef __x86_64__'
cat >runtime/base/atomic.h <<<'#define load __atomic_load_n'
cat >runtime/sched/note.c <<<'/* uv_run( and _Thread_local in a comment are no breach. What if so? */'
cat >runtime/sched/said.c <<<$'/* The reader who asks what it is\n * finds it. */\nstatic const char *said = "/* amid */";'
cat >http/debug/pprof.c <<<'#include "profiles/walk/unwind.h"'
for file in {runtime,http}/*/*.[ch]; do
    echo "\`${file##*/}\`" >>"${file%/*}/README.md"
done
if ! "$lint" . >out.txt 2>&1; then
    echo "lint finds fault with clean code:"
    cat out.txt
    missed=$((missed + 1))
fi
[[ $missed -eq 0 ]] && echo "lint self-test: every rule bites"
