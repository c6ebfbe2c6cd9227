#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# debug_clients.sh WEFT_ORDERS WEFT_LOAD - the real clients against the live service under load:
# curl, go tool pprof, panicparse, an expvar reader. Status 77: a client is missing, the others
# passed.
set -euo pipefail
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT
. "$(dirname "$0")/expect.sh"
skipped=0

have() {
    command -v "$1" >/dev/null && return
    echo "debug clients: there is no $1"
    skipped=77
    return 1
}

port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

api=127.0.0.1:$(port) debug=127.0.0.1:$(port)
"$1" "$api" "$debug" "$dir/orders.db" 2>"$dir/log" &
pids+=($!)
curl -s -o "$dir/vars" --retry 20 --retry-delay 1 --retry-connrefused "http://$debug/debug/vars"
"$2" "$api" 50 8 >"$dir/result" 2>/dev/null &
pids+=($!)
curl -s "http://$debug/debug/pprof/goroutine?debug=2" >"$dir/dump"

expect "every task of the dump has a state" grep -qE '^goroutine [0-9]+ \[[^]]+\]:$' "$dir/dump"
expect "customers are being served" grep -q '^weft__http_conn_main(' "$dir/dump"
if have panicparse; then
    expect "panicparse reads the whole dump" sh -c "panicparse <'$dir/dump' >'$dir/parsed' 2>&1"
    expect "and finds the clerks" grep -q clerk "$dir/parsed"
fi
if have go; then
    export HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent
    go tool pprof -top "http://$debug/debug/pprof/goroutine" >"$dir/top" 2>"$dir/err"
    expect "go tool pprof -top" grep -q 'keep_books' "$dir/top"
    go tool pprof -traces "http://$debug/debug/pprof/goroutine?seconds=1" >"$dir/traces" 2>"$dir/err"
    expect "go tool pprof of a delta" grep -q 'Type: goroutine' "$dir/traces"
    go tool pprof -tags "http://$debug/debug/pprof/goroutine?per_task=1" >"$dir/tags" 2>"$dir/err"
    expect "go tool pprof -tags, a sample a task" sh -c \
        "grep -q ': waiting' '$dir/tags' && grep -q 'goid: Total' '$dir/tags' && grep -q ': IO wait' '$dir/tags'"
    for name in block mutex contention; do
        go tool pprof -top "http://$debug/debug/pprof/$name" >"$dir/top" 2>"$dir/err"
        expect "go tool pprof of $name names the hot mutex" grep -q 'shop_look' "$dir/top"
        expect "$name is measured in delay" grep -q 'Type: delay' "$dir/top"
    done
    go tool pprof -top "http://$debug/debug/pprof/profile?seconds=2" >"$dir/top" 2>"$dir/err"
    expect "go tool pprof of profile names the hot function" grep -q 'edit_distance' "$dir/top"
    go tool pprof -top "http://$debug/debug/pprof/allocs" >"$dir/top" 2>"$dir/err"
    expect "go tool pprof of allocs names the heavy allocator" grep -q 'room_for_history' "$dir/top"
    go tool pprof -peek 'held by' "http://$debug/debug/pprof/contention" >"$dir/peek" 2>"$dir/err"
    expect "who waits, and for whom" grep -q 'shop_look' "$dir/peek"
    expect "go tool pprof prints our errors" sh -c \
        "! go tool pprof -top 'http://$debug/debug/pprof/goroutine?seconds=0' 2>&1 | grep -q 'Showing nodes' &&
         go tool pprof -top 'http://$debug/debug/pprof/nope' 2>&1 | grep -q 'Unknown profile'"
fi
curl -s "http://$debug/debug/vars" >"$dir/vars"
expect "an expvar reader" python3 - "$dir/vars" <<'END'
import json, sys
v = json.load(open(sys.argv[1]))
assert isinstance(v["cmdline"], list) and isinstance(v["cmdline"][0], str)
assert isinstance(v["memstats"]["PauseTotalNs"], int)
assert v["memstats"]["HeapAlloc"] > 0
assert v["orders.accepted"] > 0 and v["cache.hits"] >= 0
assert list(v) == sorted(v)
END
curl -sI "http://$debug/debug/pprof/goroutine?debug=2" >"$dir/head"
expect "HEAD" grep -q '^HTTP/1.1 200 OK' "$dir/head"
wait "${pids[1]}" || failed=1
kill -TERM "${pids[0]}"
wait "${pids[0]}" || failed=1
[[ $failed -eq 0 ]] || {
    cat "$dir/log" "$dir/result"
    exit 1
}
echo "debug clients: passed"
exit $skipped
