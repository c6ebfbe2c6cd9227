#!/usr/bin/env bash
# cpu_pprof.sh CPU_SAMPLE - the profile of CPU time over HTTP and by the public calls: Go's answers
# to requests, and what go tool pprof reads. Status 77: no go, the rest passed.
set -euo pipefail
dir=$(mktemp -d)
"$1" "unix:$dir/debug" 2>"$dir/log" &
sample=$!
trap 'kill $sample 2>/dev/null || true; rm -rf "$dir"' EXIT
. "$(dirname "$0")/../expect.sh"

get() { # FILE PATH [OPTION...]: answers of errors, too
    curl -s -o "$dir/$1" --unix-socket "$dir/debug" "${@:3}" "http://localhost/debug/pprof/$2"
}

is() { # FILE TEXT
    grep -qxF "$2" "$dir/$1"
}

get page '' --retry 20 --retry-delay 1 --retry-all-errors
get head profile -I
for which in profile busy; do # the second of them is refused
    get $which 'profile?seconds=2&debug=1&goid=1' -D "$dir/$which.head" &
    requests+=($!)
done
wait "${requests[@]}"
if grep -q '^HTTP/1.1 500 ' "$dir/profile.head"; then
    for file in '' .head; do
        mv "$dir/profile$file" "$dir/other"
        mv "$dir/busy$file" "$dir/profile$file"
        mv "$dir/other" "$dir/busy$file"
    done
fi
get most 'profile?seconds=100000' -D "$dir/most.head"
expect "the page lists it" grep -q "<a href='profile?debug=1'>profile</a>" "$dir/page"
expect "HEAD is free" grep -q 'filename="profile"' "$dir/head"
expect "there is one at a time" is busy \
    'Could not enable CPU profiling: cpu profiling already in use'
expect "that is Go's status" grep -q '^HTTP/1.1 500 ' "$dir/busy.head"
expect "pprof prints it" grep -qi '^X-Go-Pprof: 1' "$dir/busy.head"
expect "there is a cap" grep -q '^HTTP/1.1 400 ' "$dir/most.head"
expect "it is named as Go's" grep -q 'filename="profile"' "$dir/profile.head"
expect "it is binary, whatever debug says" grep -qi '^Content-Type: application/octet-stream' \
    "$dir/profile.head"
cp "$1" "$dir/moved" # so that no go tool reads lines from the program itself
"$dir/moved" file >"$dir/file"
rm "$dir/moved"
expect "the calls write one, too" test -s "$dir/file"
gos=()
for go in go /usr/lib/go-1.23/bin/go; do
    ! command -v "$go" >/dev/null || gos+=("$go")
done
if [[ ${#gos[@]} -eq 0 ]]; then
    echo "cpu pprof: there is no go"
    [[ $failed -eq 0 ]] && exit 77 || exit 1
fi

tests=$(cd "$(dirname "$0")/.." && pwd)
pprof() { # GO OPTION... FILE
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        "$1" tool pprof -source_path "$tests" "${@:2}" 2>"$dir/err") || cat "$dir/err"
}

# Whether the functions have their parts of 75 and 25, within 15 points.
is_split() { # FILE
    awk '$6 == "work_long" { a = $4 } $6 == "work_short" { b = $4 }
        END { exit !(a > 1.5 * b && a < 9 * b) }' "$dir/$1"
}

for go in "${gos[@]}"; do
    for file in profile file; do
        pprof "$go" -top -cum -unit=ms "$file" | sed 's/ms / /g' >"$dir/top"
        pprof "$go" -raw "$file" >"$dir/raw"
        expect "$go: work has its name in $file" grep -q ' work_long$' "$dir/top"
        [[ $file == profile ]] || expect "$go: work is where it is" is_split top
        expect "$go: its values are Go's in $file" grep -qx 'samples/count cpu/nanoseconds' "$dir/raw"
        expect "$go: its period is Go's in $file" grep -qx 'PeriodType: cpu nanoseconds' "$dir/raw"
        expect "$go: its period is 10 ms in $file" grep -qx 'Period: 10000000' "$dir/raw"
        expect "$go: samples have labels in $file" grep -q 'tenant:\[a\]' "$dir/raw"
        expect "$go: samples have states in $file" grep -q 'state:\[running\]' "$dir/raw"
        expect "$go: comments count the stacks in $file" grep -q '^Comment: stacks: ' "$dir/raw"
    done
    pprof "$go" -list '^burn$' file >"$dir/list"
    pprof "$go" -peek '^burn$' file >"$dir/peek"
    pprof "$go" -output weblist -weblist '^burn$' file
    expect "$go: lines of C have their time" grep -qE '^ +[0-9.]+m?s +[0-9.]+m?s +[0-9]+: +for \(vol' "$dir/list"
    expect "$go: callers are told" grep -qE '^ +[0-9.]+m?s +[0-9.]+% \| +work_long$' "$dir/peek"
    expect "$go: the page of sources has them, too" grep -qE '[0-9.]+m?s +[0-9.]+m?s +for \(vol' "$dir/weblist"
    pprof "$go" -raw profile >"$dir/raw"
    expect "$go: goid=1 tells tasks apart" grep -q 'goid:\[[0-9]*\]' "$dir/raw"
done
[[ $failed -eq 0 ]] && echo "cpu pprof: passed" || tail -n +1 "$dir"/{top,raw,list,peek,weblist,page,log,busy.head}
exit $failed
