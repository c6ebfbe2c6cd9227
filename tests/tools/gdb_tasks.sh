#!/usr/bin/env bash
# gdb_tasks.sh TASKS_SAMPLE [core] - gdb loads the script that lies in the program, and shows its
# tasks: in a live program, and with "core" in a core of it, with and without symbols. Status 77:
# there is no gdb, or it may not trace.
set -euo pipefail
command -v gdb >/dev/null || {
    echo "gdb tasks: skipped, there is no gdb"
    exit 77
}
. "$(dirname "$0")/../expect.sh"
sample=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export DEBUGINFOD_URLS= WEFT_PROCS=2
export WEFT_GUARD=mprotect # gdb's generate-core-file cannot read past a guard of madvise
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" # which traces, as gdb does

run_gdb() { # FILE ARGUMENT...
    timeout 300 gdb -nx -batch -iex 'set width 0' -iex "add-auto-load-safe-path /" "${@:2}" >"$1" 2>&1 ||
        true
    if grep -qE 'ptrace: Operation not permitted|Could not trace' "$1"; then
        echo "gdb tasks: skipped, no tracing here"
        exit 77
    fi
}

# The id of the task with this name, by its place in the program: main starts them in this order.
reader=2 holder=3 locker=4
look=(-ex 'info tasks' -ex 'echo == filters\n' -ex 'info tasks -state running'
    -ex 'info tasks -reason Mutex' -ex 'info tasks -function "^(0x|sample_hold)"'
    -ex 'info tasks -reason "no such"' -ex 'echo == bt\n' -ex "task $reader bt"
    -ex 'echo == frame\n' -ex "task $locker frame 0" -ex "task $locker up" -ex task
    -ex 'echo == apply\n' -ex "task apply $holder $locker bt 1" -ex 'task apply all bt'
    -ex 'task none' -ex 'echo == thread\n' -ex bt)

# expect_look FILE SYMBOLS: 1 if the program has them, else 0
expect_look() {
    has_lines "$1" $((3 - $2)) '^  1 +running '
    has_lines "$1" $((2 - $2)) "^  $reader +waiting +chan receive  +"
    has_lines "$1" 2 "^  $holder +waiting +chan receive \(nil chan\) +"
    has_lines "$1" $((3 - $2)) "^  $locker +waiting +sync.Mutex.Lock +"
    has_lines "$1" 1 '^No such task'
    has_lines "$1" 1 "^Task $locker is selected"
    has_lines "$1" 2 "^Task $holder \(waiting, chan receive \(nil chan\)\):"
    has_lines "$1" 1 "^Task 1 \(running\):"
    has_lines "$1" 0 'Traceback|Python Exception|corrupt|Backtrace stopped|cannot unwind'
    [[ $2 -eq 1 ]] || {
        has_lines "$1" 2 '^#11 +0x' # the frames of the reader that are not inlined
        return 0
    }
    has_lines "$1" 8 '^#[0-9]+ .* in sample_read \(depth=.* at .*tasks_sample.c:[0-9]+'
    has_lines "$1" 2 "^  $holder .* sample_hold$"
    has_lines "$1" 1 " in sample_hold "
    has_lines "$1" 1 " in sample_lock "
    has_lines "$1" 6 ' in (weft__ctx_entry|weft\.ctx_entry) '
}

core=() # a sanitizer's memory is too large for one
[[ ${2:-} != core ]] || core=(-ex 'gcore the_core')
run_gdb live -ex 'break sample_ready' -ex run "${look[@]}" "${core[@]}" -ex kill --args "$sample" stay
expect_look live 1
if [[ ${2:-} == core && $failed -eq 0 ]]; then
    run_gdb core "${look[@]}" "$sample" the_core
    expect_look core 1
    strip -o program "$sample"
    run_gdb stripped "${look[@]}" program the_core
    expect_look stripped 0
fi
[[ $failed -eq 0 ]] && echo "gdb tasks: passed"
exit $failed
