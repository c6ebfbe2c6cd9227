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
. "$(dirname "$0")/../expect.sh"

# From a copy that is gone when it is read.
cp "$1" "$dir/gone"
"$dir/gone" pprof >"$dir/profile.pb.gz"
"$dir/gone" pprof each >"$dir/each.pb.gz"
rm "$dir/gone"

pprof() {
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        go tool pprof "$@" 2>"$dir/err") || cat "$dir/err"
}

tagged() { # FILE N KEY VALUE: so many samples have that label, as -tags printed it to FILE
    sed -n "/^ *$3: Total /,/^\$/p" "$dir/$1" | grep -qE "^ *$2\.0 \([^)]*\): $4 *\$"
}

pprof -top profile.pb.gz >"$dir/top"
pprof -traces profile.pb.gz >"$dir/traces"
pprof -tags profile.pb.gz >"$dir/tags"
pprof -tags each.pb.gz >"$dir/each"
pprof -tagfocus 'reason=chan receive' -top each.pb.gz >"$dir/focus"
expect "31 tasks" grep -qE '\b31 total' "$dir/top"
expect "20 in the lake" awk '$NF == "sample_lake" && $4 == 20 { ok = 1 } END { exit !ok }' "$dir/top"
expect "10 in the pond" awk '$NF == "sample_pond" && $4 == 10 { ok = 1 } END { exit !ok }' "$dir/top"
expect "traces of 20 that end in the lake" awk '
    $1 ~ /^[0-9]+$/ { n = $1 }
    $NF == "sample_lake" { all += n }
    END { exit all != 20 }' "$dir/traces"
for file in tags each; do
    expect "labels in $file" tagged $file 10 depth 'deep "as" grün'
done
expect "each task has its id" tagged each 1 goid 31
expect "all wait but the one that asks" tagged each 30 state waiting
expect "20 wait to receive" tagged each 20 reason 'chan receive \(nil chan\)'
expect "their waits have a time" grep -qE '^ *wait: Total 30\.0' "$dir/each"
expect "they can be selected" grep -qE '^Showing nodes accounting for 20\b.* of 31 total' "$dir/focus"
expect "no frame without a name" test -z "$(grep -E ' 0x[0-9a-f]+$' "$dir/traces")"
[[ $failed -eq 0 ]] && echo "live pprof: passed" || cat "$dir/top" "$dir/traces" "$dir/tags" "$dir/each" "$dir/focus"
exit $failed
