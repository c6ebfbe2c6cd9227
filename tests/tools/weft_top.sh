#!/usr/bin/env bash
# weft_top.sh WEFT_TOP TASKS_SAMPLE - drives weft-top in a terminal of tmux: it shows groups of tasks
# and hot locks, sorts, filters, opens stacks, takes a dump, and lives on when the program ends.
# Status 77: there is no tmux.
set -euo pipefail
command -v tmux >/dev/null || {
    echo "weft-top: skipped, there is no tmux"
    exit 77
}
top=$(realpath "$1")
sample=$(realpath "$2")
dir=$(mktemp -d)
export WEFT_PROCS=2 ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" TMUX_TMPDIR=$dir
pid=
trap 'tmux kill-server 2>/dev/null || true; [[ -z $pid ]] || kill -KILL $pid; rm -rf "$dir"' EXIT
cd "$dir"

# shows REGEX: waits until a line of the screen matches.
shows() {
    local i
    for ((i = 0; i < 300; i++)); do
        tmux capture-pane -p -t top >screen
        ! grep -qE -- "$1" screen || return 0
        sleep 0.1
    done
    echo "weft-top: no line with '$1' on the screen:"
    cat screen
    exit 1
}

hides() { # REGEX: no line of the screen matches, once a refresh has come
    local i
    for ((i = 0; i < 300; i++)); do
        tmux capture-pane -p -t top >screen
        grep -qE -- "$1" screen || return 0
        sleep 0.1
    done
    echo "weft-top: a line with '$1' stays on the screen:"
    cat screen
    exit 1
}

keys() { tmux send-keys -t top "$@"; }

mkfifo ready
"$sample" serve "unix:$dir/debug" >ready 2>err &
pid=$!
read -r _ <ready
tmux -f /dev/null new-session -d -s top -x 120 -y 40 "$top -i 0.2 unix:$dir/debug; echo status \$?; read"
shows '^weft-top unix:.* tasks: .* 2 processors'
shows '^ +200 +[0-9.]+[a-z]+ .* chan receive +sample_wait$'
shows '^ +1 .* sync.Mutex.Lock +sample_lock$'
head -4 screen | grep -q sample_wait || { # the largest group is the first
    cat screen
    exit 1
}
keys /
keys -l sample_lock
shows '^filter: sample_lock_'
keys Enter
hides sample_wait
shows ' sample_lock$'
keys Enter
shows '^ +\| weft_mutex_lock .*mutex.c:[0-9]+'
shows '^ +\| sample_lock .*tasks_sample.c:[0-9]+'
keys Enter
hides '\| sample_lock'
keys /
keys Escape
shows sample_wait
keys s
shows '^ +TASKS +LONGEST\*'
keys Tab
shows '^ +WAITS +WAITED +NOW/s\*'
shows '^ +[0-9]+ +[0-9.]+(us|ms|s|m) .* sample_contend$'
keys d
shows '^wrote weft-tasks-.*\.txt'
grep -q 'name: reader' weft-tasks-*.txt || {
    echo "weft-top: the dump lacks the reader"
    exit 1
}
keys p
shows 'PAUSED'
keys p
hides 'PAUSED'
kill -KILL $pid
wait $pid 2>/dev/null || true
pid=
shows '^! unix:.*: Connection refused'
shows ' sample_contend$'
keys q
shows '^status 0'
echo "weft-top: passed"
