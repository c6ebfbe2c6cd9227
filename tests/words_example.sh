#!/usr/bin/env bash
# words_example.sh WORDS - the C++ example counts as sort and uniq do, and stops at a file that it
# cannot read.
set -euo pipefail
words=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$(dirname "$0")/.."

files=(runtime/*/*.c)
cat "${files[@]}" | tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | grep . | LC_ALL=C sort | uniq -c |
    LC_ALL=C sort -k1,1nr -k2,2 | sed -n 1,10p | awk '{ print $1, $2 }' >"$dir/expected"
"$words" "${files[@]}" | diff "$dir/expected" -
"$words" README.md /nonexistent >"$dir/out" 2>"$dir/err" && exit 1
grep -qx 'words: cannot read /nonexistent' "$dir/err"
[[ ! -s $dir/out ]]
echo "words example: passed"
