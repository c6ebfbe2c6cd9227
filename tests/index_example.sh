#!/usr/bin/env bash
# index_example.sh INDEX - the example counts correctly, twice with the same result, dumps, and ends with 0.
set -euo pipefail
index=$1
digest=$(dirname "$0")/../examples/digest.awk
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. "$(dirname "$0")/expect.sh"

status_of() {
    local status=0
    "$@" >/dev/null 2>&1 || status=$?
    echo "$status"
}

mkdir -p "$dir/tree/.hidden" "$dir/tree/build"
for ((i = 0; i < 40; i++)); do
    mkdir "$dir/tree/$i"
    for ((j = 0; j < 25; j++)); do
        printf 'Tea for two,\nand a tea for all the licences that were ever read\n' \
            >"$dir/tree/$i/$j"
    done
done
printf 'tea\0' >"$dir/tree/binary"
seq 1 30000 | sed 's/.*/tea/' | tr '\n' ' ' >"$dir/tree/long" # no line end at all
cp "$dir/tree/long" "$dir/tree/build/left"
cp "$dir/tree/long" "$dir/tree/.hidden/left"
ln -s . "$dir/tree/loop"

"$index" --dump "$dir/dump" --pprof "$dir/profile" "$dir/tree" >"$dir/first" 2>/dev/null
"$index" "$dir/tree" >"$dir/second" 2>/dev/null
expect "the same results twice" cmp "$dir/first" "$dir/second"
expect "1001 files in 41 folders" \
    grep -qx '1001 text files in 41 folders; 1 other files, 0 unreadable' "$dir/first"
# 30,000 in `long`, which is cut inside a word at most once every 32 KiB, and two in each file.
expect "every tea is counted" awk '$2 == "tea" { ok = $1 > 31990 && $1 <= 32000 } END { exit !ok }' \
    "$dir/first"
expect "the digest counts the dump's tasks" grep -q "^$(grep -c ^goroutine "$dir/dump") tasks" \
    <(awk -f "$digest" "$dir/dump")
expect "a gzip'ed profile" gzip -t "$dir/profile"
expect "status 2 for a bad option" test "$(status_of "$index" --no-such)" -eq 2
expect "status 1 for no such folder" test "$(status_of "$index" "$dir/none")" -eq 1
expect "status 1 for a full disk" test "$(status_of "$index" --dump /dev/full "$dir/tree")" -eq 1
if [[ $EUID -ne 0 ]]; then
    chmod 0 "$dir/tree/1/1" "$dir/tree/2"
    expect "what cannot be read is counted" grep -q ', 2 unreadable' <("$index" "$dir/tree" 2>&1)
    chmod 755 "$dir/tree/2"
fi
[[ $failed -eq 0 ]] && echo "index example: passed"
