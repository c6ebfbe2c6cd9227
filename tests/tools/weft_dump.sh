#!/usr/bin/env bash
# weft_dump.sh WEFT_DUMP TASKS_SAMPLE [core] - weft-dump shows a process as the process shows itself:
# live, stopped, busy, without symbols; with "core" also its cores, whole and damaged. The readers of
# dumps take what it prints. Status 77: the kernel lets no process read another.
set -euo pipefail
. "$(dirname "$0")/../expect.sh"
dump=$(realpath "$1")
sample=$(realpath "$2")
here=$(realpath "$(dirname "$0")")
dir=$(mktemp -d)
plain=${3:-}
pid=
trap '[[ -z $pid ]] || kill -KILL $pid 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
export WEFT_PROCS=2 WEFT_TRACEBACK=none ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"

fail() {
    echo "weft-dump: $*"
    failed=1
}

# Starts a program of tasks, and waits until it says that it is ready.
start() { # PROGRAM ARGUMENT...
    rm -f ready
    mkfifo ready
    "$@" >ready 2>err &
    pid=$!
    read -r _ <ready || {
        echo "weft-dump: $* has ended:"
        cat err
        exit 1
    }
}

# Returns once all threads have stopped: the signal takes its time.
stop() {
    kill -STOP $pid
    while [[ $(grep -h '^State:' /proc/$pid/task/*/status | sort -u) != $'State:\tT (stopped)' ]]; do
        sleep 0.01
    done
}

end() {
    kill -KILL $pid
    wait $pid 2>/dev/null || true
    pid=
}

# The blocks of all tasks but the main one, which goes on after its own dump.
others() {
    awk -v RS= '!/^goroutine 1 /' "$1"
}

is_as_own() { # FILE
    diff <(others own) <(others "$1") || fail "$1 is not as the process's own dump"
}

try() { # STATUS FILE ARGUMENT...
    local status=0
    "$dump" "${@:3}" >"$2" 2>"$2.err" || status=$?
    if grep -q 'Operation not permitted' "$2.err"; then
        echo "weft-dump: skipped, no process may read another here"
        exit 77
    fi
    [[ $status -eq $1 ]] || {
        fail "status $status of weft-dump ${*:3}"
        cat "$2.err"
    }
}

live() {
    start "$sample" stay own
    try 0 live $pid
    is_as_own live
    has_lines live 1 '^goroutine 1 \[sleep\]:'
    stop
    try 0 stopped $pid
    is_as_own stopped
    try 0 full -d 3 $pid
    has_lines full 1 '^goroutine 2 \[chan receive\] \{name: reader, tenant: "acme corp"\}:'
    has_lines full 1 '^# waits-for: 0x[0-9a-f]+ held by goroutine 3$'
    has_lines full 4 '^# waited: '
    has_lines full 1 '^# tasks: 4 \(0 running, 0 in calls, 0 runnable, 4 waiting\)$'
    try 0 merged -d 1 $pid
    has_lines merged 1 '^goroutine profile: total 4$'
    end
}

busy() {
    start "$sample" spin
    try 0 busy $pid
    has_lines busy 1 '^goroutine [0-9]+ \[running'
    has_lines busy 1 '^sample_spin'
    has_lines busy 1 '^goroutine [0-9]+ \[syscall'
    has_lines busy 1 '^sample_call'
    has_lines busy 1 '^goroutine [0-9]+ \[chan receive, locked to thread\]:'
    has_lines busy 1 '^sample_foreign'
    has_lines busy 0 'elided|guess'
    stop
    try 0 halted $pid
    has_lines halted 1 '^goroutine [0-9]+ \[running'
    has_lines halted 1 '^sample_spin'
    has_lines halted 1 '^sample_call'
    has_lines halted 1 '^sample_foreign'
    end
}

# Processes that could not write a dump of their own.
helpless() {
    local how
    for how in hungry adrift; do
        [[ $how == adrift || $plain == core ]] || continue # a sanitizer needs memory itself
        start "$sample" $how
        try 0 $how $pid
        has_lines $how 4 '^goroutine [1-4] \['
        has_lines $how 1 '^goroutine 4 \[sync.Mutex.Lock\]:'
        has_lines $how 4 '^sample_read'
        end
    done
}

# The facts of debug=3, as JSON.
json() {
    start "$sample" stay
    stop
    try 0 full -d 3 $pid
    try 0 json -j $pid
    end
    python3 "$here/tasks_json.py" json full || fail "the JSON is not as debug=3"
}

stripped() {
    strip -o plain "$sample"
    start ./plain stay own
    try 0 nameless $pid
    has_lines nameless 4 '^goroutine [1-4] \['
    has_lines nameless 1 '^goroutine 4 \[sync.Mutex.Lock\]:'
    [[ $(awk -v RS= '/^goroutine 2 /' nameless | grep -c '^0x') -ge 10 ]] ||
        fail "the reader's frames are missing without symbols"
    end
}

# Makes ./core: the kernel does, if it is to put cores into the folder of the program; else gdb.
make_core() {
    rm -f core*
    if [[ $(</proc/sys/kernel/core_pattern) == core && $(</proc/sys/kernel/core_uses_pid) == 0 ]]; then
        { (ulimit -c unlimited && exec "$sample" abort own); } >/dev/null 2>&1 || true
    elif command -v gdb >/dev/null; then
        start env WEFT_GUARD=mprotect "$sample" stay own
        DEBUGINFOD_URLS= gdb -nx -batch -p $pid -ex 'gcore core' >/dev/null 2>&1 || true
        end
    fi
    [[ -e core ]]
}

damaged() {
    local size
    size=$(stat -c %s core)
    head -c $((size / 2)) core >half
    try 3 half.out half
    has_lines half.out.err 1 "^weft-dump: half: it ends at byte $((size / 2)) of $size$"
    [[ $(wc -l <half.out.err) -eq 1 ]] || fail "more than a line says what is damaged"
    head -c 2000 core >head
    try 1 head.out head
    has_lines head.out.err 1 '^weft-dump: head: its headers are not whole$'
    head -c 40 core >none
    try 1 none.out none
    has_lines none.out.err 1 '^weft-dump: none: it is no core$'
    # Bytes that are wrong anywhere in the first pages: it says so, or shows what it can.
    for at in $(seq 16 211 4096); do
        cp half bent
        printf '\377\377\377\377' | dd of=bent bs=1 seek="$at" conv=notrunc status=none
        timeout 60 "$dump" bent >bent.out 2>bent.err || [[ $? -le 3 ]] || fail "bent at byte $at: $?"
    done
}

cores() {
    make_core || {
        echo "weft-dump: cores skipped: /proc/sys/kernel/core_pattern is not core, and there is no gdb"
        return
    }
    try 0 dead core
    is_as_own dead
    has_lines dead 1 '^goroutine 1 \[(running|sleep)\]:'
    has_lines dead 1 '^run\('
    cp "$sample" moved
    try 0 elsewhere core moved
    is_as_own elsewhere
    strip -o moved "$sample"
    try 0 bare core moved
    has_lines bare 4 '^goroutine [1-4] \['
    cp "$dump" moved # another program has its place
    try 3 other core moved
    has_lines other.err 1 '^weft-dump: core: moved is not the file that the process ran$'
    has_lines other 4 '^goroutine [1-4] \['
    has_lines other 0 '^(sample_read|main)'
    damaged
}

readers() {
    local file
    for file in live stopped busy nameless; do
        if command -v panicparse >/dev/null; then
            [[ $(panicparse $file 2>&1 | awk -F: '/^[0-9]+: /{n += $1} END {print n + 0}') -eq \
                $(grep -c '^goroutine ' $file) ]] || fail "panicparse does not see all tasks of $file"
        fi
    done
    if command -v go >/dev/null; then
        [[ $(HOME=$dir GOFLAGS=-mod=mod GO111MODULE=off go run "$here/../profiles/readers/strict.go" busy) -eq \
            $(grep -c '^goroutine ' busy) ]] || fail "the strict reader does not take all tasks"
    fi
}

live
busy
stripped
helpless
json
readers
[[ $plain != core ]] || cores
try 1 none 4194304
if [[ $EUID -eq 0 ]]; then # another user may not look
    chmod 711 . && cp "$dump" foreign
    setpriv --reuid 65534 --clear-groups ./foreign $$ >none 2>none.err || true
    has_lines none.err 1 '^weft-dump: [0-9]+: cannot read its m.*: (Permission denied|Operation not permitted)$'
fi
try 1 none $$
has_lines none.err 1 '^weft-dump: [0-9]+: no weft in it$'
[[ $failed -eq 0 ]] && echo "weft-dump: passed"
exit $failed
