#!/usr/bin/env bash
# header_example.sh HEADER LIBWEFT COMPILER [FLAG...] - the example in a header's first comment compiles,
# and ends with status 0 within 5 s. FLAGs: those that LIBWEFT was built with.
set -euo pipefail
cd "$(dirname "$0")/.."
header=$1 library=$2 compiler=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

includes=(weft.h fcntl.h signal.h stdio.h unistd.h) language=(-x c -std=gnu11)
if [[ $header == *.hpp ]]; then
    includes=("${header#include/}") language=(-x c++ -std=c++17 -Wpedantic -Wold-style-cast)
fi
# The lines of the first comment that are indented by four spaces more than its text, to main's end.
{
    printf '#include <%s>\n' "${includes[@]}"
    awk 'NR == 1 { next }
        sub(/^ \*     /, "") || sub(/^ \*$/, "") { print; ends = ends || /^int main/; next }
        ends { exit }' "$header"
} >"$dir/example"
grep -q '^int main' "$dir/example"
"$compiler" "${language[@]}" -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -Iinclude "${@:4}" \
    "$dir/example" -x none "$library" -luv -ldw -lelf -lprotobuf-c -lz -lpthread -o "$dir/program"
timeout 5 "$dir/program"
