#!/usr/bin/env bash
# toy_pprof.sh TOY_PROFILE - a profile that is one file is on the page, and has all that the library
# makes of a descriptor; go tool pprof reads its four values. Status 77: no go, the rest passed.
set -euo pipefail
dir=$(mktemp -d)
"$1" "unix:$dir/debug" 2>"$dir/log" &
toy=$!
trap 'kill $toy 2>/dev/null || true; rm -rf "$dir"' EXIT
. "$(dirname "$0")/../expect.sh"

get() { # FILE PATH [OPTION...]: answers of errors, too
    curl -s -o "$dir/$1" --unix-socket "$dir/debug" "${@:3}" "http://localhost/debug/$2"
}

lines() { # FILE TEXT...: has all of these lines
    local line
    for line in "${@:2}"; do
        grep -qxF "$line" "$dir/$1" || return 1
    done
}

# Whether a stack of the text has these values.
stack_of() { # FILE FUNCTION VALUES
    grep -qPzo "\n$3 @[^\n]*\n(#[^\n]*\n)*#\t0x[0-9a-f]*\t$2\+" "$dir/$1"
}

get vars vars --retry 20 --retry-delay 1 --retry-all-errors
get page pprof/
get text 'pprof/boxes?debug=1'
get wrong 'pprof/boxes?seconds=1&debug=1'
get head pprof/boxes -I
get boxes pprof/boxes
get delta 'pprof/boxes?seconds=1' -D "$dir/delta.head"
expect "the page has it, and its stacks" grep -qE \
    "\"n\">[23]</td><td><a href='boxes\?debug=1'>boxes</a></td><td>Boxes, and the stacks" "$dir/page"
expect "text names the values" lines text '# made/count made_space/bytes kept/count kept_space/bytes'
expect "text has the lake" stack_of text lake "30 3000 20 2000"
expect "text has the pond" stack_of text pond "1 10000 1 10000"
expect "a difference is no text" lines wrong 'seconds and debug params are incompatible'
expect "HEAD names the file" grep -q 'filename="boxes"' "$dir/head"
expect "a difference has a name of its own" grep -q 'filename="boxes-delta"' "$dir/delta.head"
if ! command -v go >/dev/null; then
    echo "toy pprof: there is no go"
    [[ $failed -eq 0 ]] && exit 77 || exit 1
fi

top() { # PROFILE OPTION...: to PROFILE.top
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        go tool pprof -top -cum "${@:2}" "$1" >"$1.top" 2>"$dir/err") || cat "$dir/err"
}

has() { # PROFILE FUNCTION VALUE: as its sum
    awk -v fn="$2" -v value="$3" '$6 == fn && $4 == value { found = 1 } END { exit !found }' \
        "$dir/$1.top"
}

top boxes
(cd "$dir" && HOME=$dir PPROF_BINARY_PATH=/nonexistent go tool pprof -raw boxes >raw 2>err) || true
expect "the period is in its unit" lines raw 'PeriodType: made_space bytes'
expect "its default is the value that is shown" lines boxes.top 'Type: made_space'
for value in made:30:1: made_space:3000B:10000B:-unit=B kept:20:1: kept_space:2000B:10000B:-unit=B; do
    IFS=: read -r name lake pond unit <<<"$value"
    top boxes -sample_index="$name" $unit
    expect "$name of the lake" has boxes lake "$lake"
    expect "$name of the pond" has boxes pond "$pond"
done
top delta -sample_index=made
expect "the difference has the rain" grep -q ' rain$' "$dir/delta.top"
expect "the difference has no lake" sh -c "! grep -q ' lake$' '$dir/delta.top'"
[[ $failed -eq 0 ]] && echo "toy pprof: passed" || tail -n +1 "$dir"/*.top "$dir/text" "$dir/page"
exit $failed
