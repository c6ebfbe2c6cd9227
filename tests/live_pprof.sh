#!/usr/bin/env bash
# live_pprof.sh LIVE_SAMPLE - go tool pprof reads the profile of a live program with no binary at
# hand, and knows its functions. Status 77: no go.
set -euo pipefail
command -v go >/dev/null || {
    echo "live pprof: skipped, there is no go"
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

expect() { # WHAT COMMAND...
    "${@:2}" || {
        echo "live pprof: not so: $1"
        failed=1
    }
}

# From a copy that is gone when it is read.
cp "$1" "$dir/gone"
"$dir/gone" pprof >"$dir/profile.pb.gz"
rm "$dir/gone"

pprof() {
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        go tool pprof "$@" profile.pb.gz 2>"$dir/err") || cat "$dir/err"
}

pprof -top >"$dir/top"
pprof -traces >"$dir/traces"
expect "31 tasks" grep -qE '\b31 total' "$dir/top"
expect "20 in the lake" awk '$NF == "sample_lake" && $4 == 20 { ok = 1 } END { exit !ok }' "$dir/top"
expect "10 in the pond" awk '$NF == "sample_pond" && $4 == 10 { ok = 1 } END { exit !ok }' "$dir/top"
expect "traces of 20 that end in the lake" awk '
    $1 ~ /^[0-9]+$/ { n = $1 }
    $NF == "sample_lake" { all += n }
    END { exit all != 20 }' "$dir/traces"
expect "no frame without a name" test -z "$(grep -E ' 0x[0-9a-f]+$' "$dir/traces")"
[[ $failed -eq 0 ]] && echo "live pprof: passed" || cat "$dir/top" "$dir/traces"
exit $failed
