#!/usr/bin/env bash
# gdb_stack.sh LIVE_SAMPLE - gdb shows a task's stack from a function deep in it to weft__ctx_entry,
# and nothing beyond. Status 77: there is no gdb, or it may not trace.
set -euo pipefail
command -v gdb >/dev/null || {
    echo "gdb stack: skipped, there is no gdb"
    exit 77
}
text=$(mktemp)
trap 'rm -f "$text"' EXIT
. "$(dirname "$0")/../expect.sh"

run_gdb() { # LOCATION
    DEBUGINFOD_URLS= gdb -nx -batch -ex 'set breakpoint pending on' -ex 'set width 0' \
        -ex 'set confirm off' -ex "break $1" -ex run -ex 'bt -past-entry off' -ex kill \
        --args "$sample" deep 20 >"$text" 2>&1 || true
    if grep -qE 'ptrace: Operation not permitted|Could not trace' "$text"; then
        echo "gdb stack: skipped, no tracing here"
        exit 77
    fi
}

# The function of each frame, innermost first.
# gdb takes assembly built by clang for Ada, and its double underscore for a dot.
functions() {
    sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ in )?([A-Za-z_0-9.]+) \(.*/\2/p' "$text" | sed 's/^weft\./weft__/'
}

wanted() {
    echo sample_bottom
    for ((i = 0; i < 17; i++)); do echo sample_inner; done
    printf '%s\n' sample_outer sample_entry weft__task_main weft__ctx_entry
}

sample=$1
run_gdb sample_bottom
expect "every frame and no other" diff <(wanted) <(functions)
expect "no word of a corrupt stack" test -z "$(grep -iE 'corrupt|Backtrace stopped' "$text")"
# Parked: the breakpoint is in the switch itself.
run_gdb 'weft__ctx_jump if $_any_caller_is("sample_bottom", 9)'
expect "every frame from the switch" diff <(wanted) <(functions | sed '1,/^weft_chan_recv/d' |
    sed '/^weft_chan_recv/d')
expect "no word of a corrupt stack" test -z "$(grep -iE 'corrupt|Backtrace stopped' "$text")"
[[ $failed -eq 0 ]] && echo "gdb stack: passed" || cat "$text"
exit $failed
