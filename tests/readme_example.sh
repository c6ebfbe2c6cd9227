#!/usr/bin/env bash
# readme_example.sh LIBWEFT COMPILER [FLAG...] - the program in README.md compiles, links and does what
# it says. FLAGs: those that LIBWEFT was built with. tests/package/install.sh has the README's command.
set -euo pipefail
cd "$(dirname "$0")/.."
library=$1 compiler=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >"$dir/hello.c"
"$compiler" -std=gnu11 -O2 -g -Wall -Wextra -Werror -Iinclude "${@:3}" "$dir/hello.c" "$library" \
    -luv -ldw -lelf -lprotobuf-c -lz -lpthread -o "$dir/hello"
output=$("$dir/hello")
[[ $output == $'1\n2\n3' ]] || {
    echo "the README's program prints: $output"
    exit 1
}
