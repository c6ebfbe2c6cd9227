#!/usr/bin/env bash
# install.sh BUILD - programs of others, in C and C++, are built with the weft that `cmake --install`
# took out of BUILD, each way that there is, while BUILD is away and the installed tree elsewhere.
# Uninstalling leaves nothing.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
build=$(realpath "$1")
dir=$(mktemp -d)
failed=0
bring_back() { [[ ! -e $build.away ]] || mv "$build.away" "$build"; }
trap 'bring_back; rm -rf "$dir"' EXIT

expect() { # WHAT COMMAND...
    if "${@:2}" >"$dir/log" 2>&1; then
        echo "ok: $1"
    else
        echo "not ok: $1"
        cat "$dir/log"
        failed=1
    fi
}

says_hello() { # PROGRAM [LIBRARY-PATH]
    [[ $(LD_LIBRARY_PATH=${2:-} "$1") == hello ]]
}

cmake --install "$build" --prefix "$dir/first" >/dev/null
mv "$dir/first" "$dir/prefix"
mv "$build" "$build.away"
prefix=$dir/prefix
lib=$(dirname "$(find "$prefix" -name libweft.a)")
export PKG_CONFIG_PATH=$lib/pkgconfig

# ---- what is there ----

expect "no installed text knows the build tree or the first prefix" \
    test -z "$(grep -rlIF -e "$build" -e "$dir/first" "$prefix")"
dynamic=$(readelf -dW "$lib/libweft.so")
expect "the SONAME is libweft.so.0" grep -qF 'soname: [libweft.so.0]' <<<"$dynamic"
expect "no path is in the library" test -z "$(grep -E 'RPATH|RUNPATH' <<<"$dynamic")"

for script in gdb/weft-gdb.py lldb/weft_lldb.py; do
    expect "the debugger's ${script#*/}" cmp "$here/../../tools/$script" "$prefix/share/weft/${script#*/}"
done

# ---- pkg-config ----

read -ra cflags < <(pkg-config --cflags weft)
read -ra libs < <(pkg-config --libs weft)
read -ra all_libs < <(pkg-config --static --libs weft | sed 's/-lweft/-l:libweft.a/')
for flag in -fstack-clash-protection -fno-optimize-sibling-calls; do
    expect "Cflags have $flag" grep -qF -- "$flag" <<<"${cflags[*]}"
done

with_pkg_config() { # COMPILER SOURCE
    "$1" -O2 -Wall -Wextra -Werror "$here/consumer/$2" "${cflags[@]}" "${libs[@]}" -o "$dir/shared" &&
        says_hello "$dir/shared" "$lib" &&
        grep -q ' weft_[a-z_]*@WEFT_0$' <<<"$(nm -D "$dir/shared")" &&
        "$1" -O2 "$here/consumer/$2" "${cflags[@]}" "${all_libs[@]}" -o "$dir/static" &&
        says_hello "$dir/static" &&
        [[ $(readelf -d "$dir/static") != *libweft* ]]
}
expect "pkg-config, C: shared and static" with_pkg_config gcc hello.c
expect "pkg-config, C++: shared and static" with_pkg_config g++ hello.cc

with_heap() {
    gcc "$here/consumer/hello.c" "${cflags[@]}" "${libs[@]}" "$(pkg-config --variable=heap weft)" -o "$dir/heap" &&
        says_hello "$dir/heap" "$lib" && grep -q ' T malloc$' <<<"$(nm "$dir/heap")"
}
expect "pkg-config, heap" with_heap

# The installed library has no sanitizer.
sanitized() { # SANITIZER STATUS TEXT
    local status=0
    gcc -g "-fsanitize=$1" "$here/consumer/hello.c" "${cflags[@]}" "${libs[@]}" -o "$dir/sanitized" || return
    LD_LIBRARY_PATH=$lib "$dir/sanitized" >"$dir/said" 2>&1 || status=$?
    cat "$dir/said"
    [[ $status -eq $2 && $(grep -c -- "$3" "$dir/said") -eq 1 ]]
}
expect "a program with TSan is told what it lacks" sanitized thread 2 'build weft with -DWEFT_SANITIZE=thread$'
expect "a program with ASan runs, and is told so" sanitized address 0 'weft: .* false reports'

as_the_readme_says() (
    local readme=$here/../../README.md
    mkdir -p "$dir/readme"
    cd "$dir/readme"
    awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$readme" >hello.c
    eval "$(grep -m1 '^cc ' "$readme")"
    [[ $(LD_LIBRARY_PATH=$lib ./hello) == $'1\n2\n3' ]]
)
expect "the README's program, by the README's command" as_the_readme_says

# ---- CMake ----

with_cmake() { # COMPONENTS PATTERN-OF-NEEDED
    local program
    cmake -S "$here/consumer" -B "$dir/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DKIND="$1" &&
        cmake --build "$dir/consumer" || return
    for program in hello_c hello_cxx; do
        says_hello "$dir/consumer/$program" || return
        [[ $(readelf -d "$dir/consumer/$program" | grep -o 'libweft[^]]*') == "$2" ]] || return
        # A program with heap defines malloc, another needs libc's.
        [[ $(nm "$dir/consumer/$program" | grep -c ' T malloc$') == $([[ $1 == *heap* ]] && echo 1 || echo 0) ]] ||
            return
        [[ $1 != *jemalloc* || $(readelf -d "$dir/consumer/$program") == *libjemalloc.so.2* ]] || return
    done
    rm -r "$dir/consumer"
}
expect "find_package" with_cmake "" libweft.so.0
expect "find_package, shared" with_cmake shared libweft.so.0
expect "find_package, static" with_cmake static ""
expect "find_package, heap" with_cmake "shared;heap" libweft.so.0
expect "find_package, static and heap" with_cmake "static;heap" ""
expect "find_package, heap above jemalloc" with_cmake "shared;heap;jemalloc" libweft.so.0
! with_cmake nonsense "" >"$dir/log" 2>&1 && grep -q 'no component nonsense' "$dir/log" ||
    expect "find_package knows its components" false

# ---- uninstall ----

bring_back
cmake --install "$build" --prefix "$dir/again" >/dev/null
mkdir -p "$dir/again/share/doc/other"
expect "uninstall" cmake --build "$build" --target weft_uninstall
expect "uninstall leaves nothing" \
    test -z "$(find "$dir/again" ! -type d -o -name '*weft*')"
expect "uninstall leaves what is not weft's" test -d "$dir/again/share/doc/other"
exit $failed
