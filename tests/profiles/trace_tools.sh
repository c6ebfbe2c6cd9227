#!/usr/bin/env bash
# trace_tools.sh TRACE_SAMPLE - traces of a running program: the checker and go tool trace of every
# Go that is here accept them, their four profiles show the program's waits, and the endpoint answers
# as Go's. Status 77: no go, the rest passed.
set -euo pipefail
dir=$(mktemp -d)
WEFT_FLIGHT=$dir/record WEFT_FLIGHT_MB=4 "$1" "unix:$dir/debug" 2>"$dir/log" &
sample=$!
trap 'kill $sample 2>/dev/null || true; rm -rf "$dir"' EXIT
check=$(dirname "$0")/trace_check.py
. "$(dirname "$0")/../expect.sh"

get() { # FILE QUERY [OPTION...]: answers of errors, too
    curl -s -o "$dir/$1" --unix-socket "$dir/debug" "${@:3}" "http://localhost/debug/pprof/trace$2"
}

is() { # FILE TEXT
    [[ $(<"$dir/$1") == "$2" ]]
}

summary() { # FILE
    "$check" --summary "$dir/$1" >"$dir/$1.summary"
}

burns() { # FILE: it has samples of the hog, which ran then; a few may lie at the edge of a run
    awk -F '\t' '
        $1 == "sample" && $4 ~ /(^| < )hog( |$)/ { all += $5; ran += $5 * ($3 ~ /running|syscall/) }
        END { exit !(all > 0 && ran >= 0.9 * all) }' "$dir/$1.summary"
}

get cap '?seconds=100000' --retry 20 --retry-delay 1 --retry-all-errors
expect "the cap" is cap 'invalid value for "seconds" - must be at most 300'
get form '?format=7'
expect "a format" is form 'invalid value for "format" - must be 1, 2 or perfetto'
get head '?seconds=1' -I
expect "its name" grep -q '^Content-Disposition: attachment; filename="trace"' "$dir/head"
get long '' & # without a value it is a second
sleep 0.3
get busy '?seconds=0.1'
expect "one at a time" is busy 'Could not enable tracing: tracing is already enabled'
wait $!
curl -s -m 0.3 -o /dev/null --unix-socket "$dir/debug" "http://localhost/debug/pprof/trace?seconds=60" ||
    true # the client leaves
curl -s -o /dev/null --unix-socket "$dir/debug" "http://localhost/debug/pprof/profile?seconds=60" &
profiling=$!
for _ in {1..50}; do
    get v1 '?seconds=0.4'
    is v1 'Could not enable tracing: tracing is already enabled' 2>/dev/null || break
    sleep 0.1
done
get v2 '?seconds=1.3&format=2' &
taking=$!
sleep 0.3
curl -s -o /dev/null --unix-socket "$dir/debug" http://localhost/debug/vars
wait $taking
get perfetto '?seconds=0.4&format=perfetto'
kill $profiling 2>/dev/null || true

flight() { # FILE QUERY [OPTION...]
    curl -s -o "$dir/$1" --unix-socket "$dir/debug" "${@:3}" "http://localhost/debug/flight$2"
}

flight flight_form '?format=7'
expect "a format of the record" is flight_form 'invalid value for "format" - must be record, 1, 2 or perfetto'
flight flight_v1 '?format=1'
flight flight_v2 '?format=2'
flight flight_perfetto '?format=perfetto'
expect "version of flight_v1" grep -qa '^go 1.19 trace' "$dir/flight_v1"
expect "version of flight_v2" grep -qa '^go 1.23 trace' "$dir/flight_v2"
for file in long v1 v2 perfetto flight_v1 flight_v2 flight_perfetto; do
    expect "the checker accepts $file" summary $file
done
for file in v1 v2 perfetto; do
    expect "samples in $file" burns $file
done
expect "traced tasks" grep -q order "$dir/v2.summary"
for file in v1 v2; do
    expect "labels in $file" grep -qP '^label\t[0-9]+\tkind=order route=/a$' "$dir/$file.summary"
done
"$check" --dump "$dir/perfetto" >"$dir/labels"
expect "stacks in perfetto" grep -q "stack='weft_mutex_lock" "$dir/labels"
expect "labels in perfetto" grep -q "SliceBegin.* kind='order' route='/a'" "$dir/labels"
for file in v1 v2; do
    "$check" --dump "$dir/$file" >"$dir/events"
    expect "processors in $file" grep -qE 'Gomaxprocs procs=3|ProcsChange n=3' "$dir/events"
done
expect "processors in perfetto" grep -q "Counter name='processors that run tasks' value=3" "$dir/labels"
expect "threads in perfetto" grep -q "Track name='thread of the program, 1'" "$dir/labels"
expect "a request is a traced task" grep -q 'GET /debug/vars' "$dir/v2.summary"
expect "version of $file" grep -qa '^go 1.19 trace' "$dir/v1"
expect "version of $file" grep -qa '^go 1.23 trace' "$dir/v2"

profile() { # TOOL FILE KIND FUNCTION: the profile of this kind has the function
    "$1" "-pprof=$3" "$dir/$2" >"$dir/profile" 2>/dev/null &&
        go tool pprof -top -nodecount=1000 "$dir/profile" 2>/dev/null | grep -q "$4"
}

shows() { # TOOL FILE: its profiles have what the program waits for
    local kind
    expect "$1 $2 net" profile "$1" "$2" net reader
    expect "$1 $2 syscall" profile "$1" "$2" syscall blocker
    expect "$1 $2 sync" profile "$1" "$2" sync weft_mutex_lock
    expect "$1 $2 sched" profile "$1" "$2" sched 'weft.timer'
}

has() { # TOOL OPTION FILE EVENT: its events have one of these
    "$1" "$2" "$dir/$3" >"$dir/events" 2>&1 || true
    expect "$4 in $3, as $1 reads it" grep -q "$4" "$dir/events"
}

pages() { # TOOL FILE
    expect "the pages of $1 for $2" "$(dirname "$0")/trace_pages.py" "$1" "$dir/$2"
}

tools=0 done=
for go in /usr/bin/go /usr/lib/go-*/bin/go; do
    tool=$("$go" env GOTOOLDIR 2>/dev/null)/trace || continue
    [[ -x $tool && $done != *" $tool "* ]] || continue # /usr/bin/go is one of the others
    done+=" $tool "
    tools=$((tools + 1))
    if "$tool" -d=1 "$dir/v2" >"$dir/events" 2>&1 && grep -q StateTransition "$dir/events"; then
        expect "$go reads v2" tail -1 "$dir/events" >/dev/null
        shows "$tool" v2
        expect "$go reads v1" sh -c "'$tool' -d=1 '$dir/v1' 2>&1 | grep -q StateTransition"
        has "$tool" -d=1 v1 StackSample
        has "$tool" -d=1 v2 StackSample
        pages "$tool" v2
        has "$tool" -d=1 flight_v2 StateTransition
        has "$tool" -d=1 flight_v1 StateTransition
    else
        expect "$go reads v1" sh -c "'$tool' -d '$dir/v1' | grep -q GoStart"
        has "$tool" -d v1 CPUSample
        has "$tool" -d flight_v1 GoStart
    fi
    shows "$tool" v1
    pages "$tool" v1
done
[[ $failed == 0 ]] || exit 1
[[ $tools -gt 0 ]] || exit 77
