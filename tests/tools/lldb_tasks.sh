#!/usr/bin/env bash
# lldb_tasks.sh TASKS_SAMPLE [core] - lldb shows the tasks of a program by tools/lldb/weft_lldb.py: of
# a live one, at two stops, and with "core" of a core of it that gdb makes, with and without symbols.
# Status 77: there is no lldb with Python, or it may not trace.
set -euo pipefail
. "$(dirname "$0")/../expect.sh"
script=$(realpath "$(dirname "$0")/../../tools/lldb/weft_lldb.py")
sample=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export DEBUGINFOD_URLS= WEFT_PROCS=2
export WEFT_GUARD=mprotect # gdb's generate-core-file cannot read past a guard of madvise
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" # which traces, as lldb does
export TSAN_OPTIONS="report_bugs=0:${TSAN_OPTIONS:-}" # lldb stops at each report
# Debian 12's lldb does not find its own Python modules.
PYTHONPATH=$(echo /usr/lib/llvm-*/lib/python3.*/dist-packages | tr ' ' :)
export PYTHONPATH

has_python() {
    command -v lldb >/dev/null || return
    [[ $(lldb --no-lldbinit -b -o 'script print(lldb.SBDebugger.__name__)' 2>&1 || true) == *$'\n'SBDebugger* ]]
}
has_python || {
    echo "lldb tasks: skipped, there is no lldb with Python"
    exit 77
}

run_lldb() { # FILE ARGUMENT...
    timeout 300 lldb --no-lldbinit -b -o "command script import $script" "${@:2}" >"$1" 2>&1 || true
    if grep -qE "Operation not permitted|personality set failed|'A' packet returned an error" "$1"; then
        echo "lldb tasks: skipped, no tracing here"
        exit 77
    fi
}

# The id of the task with this name, by its place in the program: main starts them in this order.
reader=2 holder=3 locker=4
fails() { # COMMAND, which may not end the batch
    look+=(-o "script lldb.debugger.HandleCommand('$1')")
}
look=(-o tasks -o 'tasks -r Mutex' -o 'tasks -s running' -o 'tasks -f "^(0x|sample_hold)"'
    -o "task $reader bt" -o "task $holder bt 1" -o 'thread backtrace all' -o "task $locker" -o 'bt 1'
    -o up -o 'task 1 bt')
fails 'tasks -x'
fails 'tasks -r ('
fails 'task 99'

# expect_look FILE SYMBOLS: 1 if the program has them, else 0
expect_look() {
    has_lines "$1" $((3 - $2)) '^1 +running '
    has_lines "$1" $((2 - $2)) "^$reader +waiting +chan receive  +"
    has_lines "$1" 2 "^$holder +waiting +chan receive \(nil chan\) +"
    has_lines "$1" $((3 - $2)) "^$locker +waiting +sync.Mutex.Lock +"
    has_lines "$1" 2 "thread #[0-9]+, name = 'task $reader: chan receive'"
    has_lines "$1" 2 "thread #[0-9]+, name = 'task $holder: chan receive \(nil chan\)'"
    has_lines "$1" 3 "thread #[0-9]+, name = 'task $locker: sync.Mutex.Lock'"
    has_lines "$1" 1 '^error: usage: tasks'
    has_lines "$1" 1 '^error: .*unterminated subpattern'
    has_lines "$1" 1 '^error: no task 99'
    has_lines "$1" 0 'Traceback'
    [[ $2 -eq 1 ]] || {
        sed -n "/^(lldb) task $reader bt/,/^(lldb) task $holder/p" "$1" >reader
        has_lines reader 1 'frame #11: ' # its frames that are not inlined
        return 0
    }
    has_lines "$1" 8 'frame #[0-9]+: .*`sample_read(\(.*\))? at tasks_sample.c:[0-9]+'
    has_lines "$1" 1 "^$reader .* reader$"
    has_lines "$1" 2 "^$holder .* sample_hold$"
    has_lines "$1" 1 'frame #[0-9]+: .*`sample_lock'
    has_lines "$1" 6 'frame #[0-9]+: .*`weft__ctx_entry'
}

# The first stops are for names of threads that no longer hold at the last one.
run_lldb live -o 'breakpoint set -n weft_go_with' -o run -o continue -o 'breakpoint delete -f' \
    -o 'breakpoint set -n sample_ready' -o continue "${look[@]}" -o 'task 1' -o next -o kill -- "$sample" stay
expect_look live 1
has_lines live 1 'stop reason = step over'
if [[ ${2:-} == core && $failed -eq 0 ]] && command -v gdb >/dev/null; then
    gdb -nx -batch -ex 'break sample_ready' -ex run -ex 'gcore the_core' -ex kill --args "$sample" stay \
        >made 2>&1 || cat made
    run_lldb core -o "target create $sample --core the_core" "${look[@]}"
    expect_look core 1
    strip -o program "$sample"
    run_lldb stripped -o 'target create program --core the_core' "${look[@]}"
    expect_look stripped 0
fi
[[ $failed -eq 0 ]] && echo "lldb tasks: passed"
exit $failed
