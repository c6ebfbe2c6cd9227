#!/usr/bin/env bash
# header_example.sh HEADER LIBWEFT COMPILER [FLAG...] - the example in a header's first comment compiles,
# and ends with status 0 within 5 s. FLAGs: those that LIBWEFT was built with.
set -euo pipefail
cd "$(dirname "$0")/.."
header=$1 library=$2 compiler=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The lines of the first comment that are indented by four spaces more than its text, up to main's.
{
    printf '#include <%s>\n' weft.h signal.h stdio.h unistd.h
    sed -n '2,/^ \*     int main/{s/^ \*     //p; s/^ \*$//p}' "$header"
} >"$dir/example.c"
grep -q '^int main' "$dir/example.c"
libs=$(grep -om1 -- '-luv .* -lpthread' README.md)
# shellcheck disable=SC2086 # the libraries are words
"$compiler" -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -Iinclude "${@:4}" \
    "$dir/example.c" "$library" $libs -o "$dir/example"
timeout 5 "$dir/example"
