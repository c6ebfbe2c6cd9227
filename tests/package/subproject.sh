#!/usr/bin/env bash
# subproject.sh - a project that takes weft in, by add_subdirectory or by FetchContent, gets the
# library and nothing else, and its program runs.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

host() { # BUILD OPTION...
    cmake -S "$here/host" -B "$dir/$1" -G Ninja --log-level=WARNING -DWEFT="$root" "${@:2}" >/dev/null
}
host shared -DBUILD_SHARED_LIBS=ON
host fetched -DFETCH=ON
cmake --build "$dir/fetched" -- --quiet hello
[[ $("$dir/fetched/hello") == hello ]]
echo "subproject: passed"
