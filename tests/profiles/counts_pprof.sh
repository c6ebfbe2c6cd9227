#!/usr/bin/env bash
# counts_pprof.sh COUNTS_SAMPLE - go tool pprof reads the profiles of threads and of a program's own
# values, both forms. Status 77: no go.
set -euo pipefail
command -v go >/dev/null || {
    echo "counts pprof: skipped, there is no go"
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. "$(dirname "$0")/../expect.sh"

pprof() {
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        go tool pprof "$@" 2>"$dir/err") || cat "$dir/err"
}

cum() { # FILE FUNCTION: its cumulated count, 0 if it is not there
    awk -v fn="$2" '$1 ~ /^[0-9]+$/ { name = $6; for (i = 7; i <= NF; i++) name = name " " $i
        if (name == fn) n = $4 } END { print n + 0 }' "$dir/$1"
}

has() { # FILE FUNCTION NUMBER
    [[ $(cum "$1" "$2") -eq $3 ]]
}

has_some() { # FILE FUNCTION NUMBER
    [[ $(cum "$1" "$2") -ge $3 ]]
}

# Each call made a thread, unless the monitor was there before it.
has_threads_of_calls() {
    [[ $(($(cum threads.top weft_blocking_begin) + $(cum threads.top "-- made for --"))) -ge 20 ]]
}

has_total() { # FILE NUMBER
    grep -qE "\\b$2 total\$" "$dir/$1"
}

is_of() { # FILE TYPE
    grep -qx "Type: $2" "$dir/$1"
}

for what in threads custom; do
    "$1" $what >"$dir/$what.pb.gz"
    "$1" $what text >"$dir/$what.txt"
    pprof -top -cum $what.pb.gz >"$dir/$what.top"
    pprof -traces $what.pb.gz >"$dir/$what.traces"
    pprof -symbolize=none -top $what.txt >"$dir/$what.text-top"
done

expect "type of threads" is_of threads.top threadcreate
expect "threads of calls" has_threads_of_calls
expect "they are made by the call" has_some threads.top sample_call 10
expect "threads of weft_run" has_some threads.top weft_run 2
expect "threads of the monitor" has_some threads.top "-- made for --" 1
expect "they are under the hog that they are for" has_some threads.top sample_hog 1
expect "the mark stands between the two in traces" \
    grep -qPzo 'monitor_main\n(.*\n)*? *-- made for --\n *sample_hog\n' "$dir/threads.traces"
expect "text of threads is read" has_total threads.text-top "[0-9]+"
expect "type of custom" is_of custom.top example/boats
expect "total of custom" has_total custom.top 40
expect "the lake" has custom.top sample_lake 30
expect "the pond" has custom.top sample_pond 10
expect "the library is not shown" test -z "$(grep weft_profile_add "$dir/custom.top")"
expect "text of custom is read" has_total custom.text-top 40
[[ $failed -eq 0 ]] && echo "counts pprof: passed" || tail -n +1 "$dir"/*.t*
exit $failed
