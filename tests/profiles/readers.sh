#!/bin/sh
# readers.sh - gives the output of test_render to the tools with which people read dumps.
#
#     readers.sh DIR     exit status 77: a tool is missing, the others passed
set -u
dir=$1
here=$(dirname "$0")
passed=0
failed=0
skipped=0

# check NAME COMMAND...: the command must succeed.
check() {
    name=$1
    shift
    if "$@"; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        failed=$((failed + 1))
    fi
}

have() {
    command -v "$1" >/dev/null && return 0
    echo "skip - no $1"
    skipped=$((skipped + 1))
    return 1
}

# The binary of the profile does not exist, and no other place may be asked.
pprof() {
    PPROF_BINARY_PATH=/nonexistent go tool pprof -symbolize=none "$@" 2>"$dir/pprof.err"
}

# Tasks without a stack count in the total only.
top_has_all_tasks() {
    pprof -top "$dir/goroutine.pb.gz" >"$dir/pprof.top" || return 1
    total=$(sed -n '1s/.* //p' "$dir/debug1.txt")
    with_stack=$(awk '/ @ 0x[1-9a-f]/{n += $1} END {print n}' "$dir/debug1.txt")
    grep -q "accounting for $with_stack, .* of $total total" "$dir/pprof.top" &&
        grep -q 'leaf (inline)' "$dir/pprof.top" && grep -q 'worker' "$dir/pprof.top"
}

# Without -symbolize=none: the names in the profile must survive pprof's own look-up.
names_survive_symbolization() {
    PPROF_BINARY_PATH=/nonexistent go tool pprof -top "$dir/goroutine.pb.gz" 2>/dev/null |
        grep -q 'weft_chan_recv'
}

traces_has_each_stack() {
    pprof -traces "$dir/goroutine.pb.gz" >"$dir/pprof.traces" || return 1
    stacks=$(grep -c ' @ 0x[1-9a-f]' "$dir/debug1.txt")
    [ "$(grep -c '^ *[0-9][0-9]*   [^ ]' "$dir/pprof.traces")" -eq "$stacks" ]
}

debug1_is_a_profile() {
    pprof -top "$1" >/dev/null
}

# FILE N KEY VALUE: so many samples have this label. N may name several numbers: pprof of Go 1.19
# leaves out samples without a stack, that of Go 1.23 counts them.
tags_have() {
    pprof -tags "$1" | sed -n "/^ *$3: Total /,/^\$/p" | grep -qE "^ *($2)\.0 \([^)]*\): $4 *\$"
}

panicparse_has_all_tasks() {
    seen=$(panicparse "$1" 2>&1 | awk -F: '/^[0-9]+: /{n += $1} END {print n + 0}')
    [ "$seen" -eq "$(grep -c '^goroutine ' "$1")" ]
}

strict_has_all_tasks() {
    seen=$(GOFLAGS=-mod=mod GO111MODULE=off go run "$here/readers/strict.go" "$1") &&
        [ "$seen" -eq "$(grep -c '^goroutine ' "$1")" ]
}

if have go; then
    check "go tool pprof -top" top_has_all_tasks
    check "go tool pprof keeps our names" names_survive_symbolization
    check "go tool pprof -traces" traces_has_each_stack
    check "go tool pprof reads debug=1" debug1_is_a_profile "$dir/debug1.txt"
    check "go tool pprof reads debug=1 with labels" debug1_is_a_profile "$dir/labeled1.txt"
    check "go tool pprof -tags" tags_have "$dir/labeled.pb.gz" '3|4' tenant x
    check "go tool pprof -tags, a sample a task" tags_have "$dir/each.pb.gz" '3|4' tenant x
    check "and what waits" tags_have "$dir/each.pb.gz" 4 reason 'chan receive'
    check "and for how long" tags_have "$dir/each.pb.gz" 1 wait 1.23ms
    check "strict reader, every rule" strict_has_all_tasks "$dir/debug2.txt"
    check "strict reader, 3000 tasks" strict_has_all_tasks "$dir/many.txt"
fi
if have panicparse; then
    check "panicparse, every rule" panicparse_has_all_tasks "$dir/debug2.txt"
    check "panicparse, 3000 tasks" panicparse_has_all_tasks "$dir/many.txt"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] || exit 1
[ "$skipped" -eq 0 ] || exit 77
