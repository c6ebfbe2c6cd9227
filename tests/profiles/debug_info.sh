#!/usr/bin/env bash
# debug_info.sh LIBWEFT.a LIBWEFT.so - names and lines are right for programs of both compilers, with
# debug information of every kind and with none, and mappings say what there is. Programs are
# linked with the shared library where their mapping is judged.
set -euo pipefail
cd "$(dirname "$0")/../.."
static=$1 shared=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
libs=(-luv -ldw -lelf -lprotobuf-c -lz -lpthread)
flags=(-O2 -fno-optimize-sibling-calls -Iinclude)
link_shared=("-L$(dirname "$shared")" "-Wl,-rpath,$(dirname "$shared")" -lweft)

expect() { # WHAT COMMAND...
    "${@:2}" || {
        echo "debug info: not so: $what: $1"
        failed=1
    }
}

# Runs a program: its dump, the functions of the dump, and its profile as text.
run() {
    "$1" "$dir/pb.gz" >"$dir/dump"
    sed -n 's/(\.\.\.)$//p' "$dir/dump" >"$dir/names"
    : >"$dir/raw"
    ! command -v go >/dev/null ||
        PPROF_BINARY_PATH=/nonexistent go tool pprof -raw "$dir/pb.gz" >"$dir/raw" 2>/dev/null
}

has() { grep -qxF -- "$1" "$dir/names"; }

# The place that the dump shows of a function: file and line.
place() { awk -v call="$1(...)" '$0 == call { getline; print $1; exit }' "$dir/dump"; }
line_of() { awk -v mark="line: $1 " 'index($0, mark) { print NR; exit }' tests/profiles/lines_sample.c; }
at_line() { # FUNCTION LINE
    [[ $(place "$1") == *"/lines_sample.c:$(line_of "$2")" ]]
}

# The flags of the program's own mapping: FN functions, FL files, LN lines, IN inlined functions.
flags_are() {
    [[ ! -s $dir/raw ]] ||
        [[ $(sed -n "s,^1: .*$dir/program[^[]*,,p" "$dir/raw" | tr -d ' \n') == "$1" ]]
}

pprof_has() { # FUNCTION...
    local name
    PPROF_BINARY_PATH=/nonexistent go tool pprof -top "$dir/pb.gz" 2>/dev/null |
        sed 's/^ *\([^ ]* *\)\{5\}//; s/ (inline)$//' >"$dir/top"
    for name; do
        grep -qxF -- "$name" "$dir/top" || return 1
    done
}

# ---- C++ names ----

bare_names() {
    local name
    for name in net::Server::run net::Client::run 'go<net::Server>' 'go<net::Client>' net::hidden \
        '(anonymous namespace)::unnamed' 'net::Client::operator bool' \
        'net::Pool<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >::take'; do
        expect "$name is shown" has "$name"
    done
    expect "no name is mangled" test -z "$(grep '_Z' "$dir/names")"
    ! command -v panicparse >/dev/null ||
        expect "panicparse reads it" grep -qF 'net::Server::run(...)' <<<"$(panicparse "$dir/dump" 2>&1)"
    [[ -s $dir/raw ]] || return 0
    expect "the profile has both names" \
        grep -qE 'net::Server::run .*\(_ZNK3net6Server3runEiPKc' "$dir/raw"
    expect "its reader keeps them" pprof_has 'net::Server::run' 'net::Client::run' 'go<net::Server>'
}

for compiler in g++ clang++; do
    what="C++ by $compiler"
    "$compiler" -std=c++17 "${flags[@]}" -g tests/profiles/names_sample.cc "$static" "${libs[@]}" \
        -o "$dir/program"
    run "$dir/program"
    bare_names
    expect "an operator is shown" has 'net::Client::operator()'
    if [[ $compiler == g++ ]]; then
        expect "a lambda is shown" has 'lambdas::{lambda()#2}::operator()'
        expect "a lambda is shown" has 'lambdas::{lambda(int, char const*)#1}::operator()'
        expect "a lambda in a lambda" \
            has 'lambdas::{lambda(int, char const*)#1}::operator()::{lambda(char)#1}::operator()'
        [[ ! -s $dir/raw ]] ||
            expect "pprof shows it" pprof_has 'lambdas::{lambda()#2}::operator()'
    else
        expect "a lambda is shown" has "lambdas::\$_1::operator()"
    fi
    expect "inlined functions are shown" has wait_here
    strip -g "$dir/program"
    what="$what, stripped"
    run "$dir/program"
    bare_names
done

# ---- lines ----

all_lines() {
    expect "line of the innermost" at_line fails fails
    expect "line of an inlined function" at_line handle handle
    expect "line of a function around it" at_line serve serve
    expect "line of the caller" at_line task task
    expect "its mapping says so" flags_are '[FN][FL][LN][IN]'
}

physical_lines() {
    expect "line in the cold part" at_line "$(grep -m1 '^serve' "$dir/names")" handle
    expect "line of the caller" at_line task task
    expect "its mapping says so" flags_are '[FN][FL][LN]'
}

no_lines() {
    expect "functions by their symbols" has task
    expect "no lines" test "$(place task)" = '??:0'
    expect "its mapping says so" flags_are '[FN]'
}

compile() { # COMPILER FLAG...: the program, from an object file, next to which a .dwo file is.
    "$1" "${flags[@]}" "${@:2}" -c tests/profiles/lines_sample.c -o "$dir/program.o"
    "$1" "$dir/program.o" "${link_shared[@]}" -Wl,--build-id=none -o "$dir/program"
    run "$dir/program"
}

for compiler in gcc clang; do
    for version in 4 5; do
        what="DWARF $version by $compiler"
        compile "$compiler" "-gdwarf-$version"
        all_lines
        compile "$compiler" "-gdwarf-$version" -gsplit-dwarf
        what="$what, split"
        expect "there is a .dwo file" test -e "$dir/program.dwo"
        all_lines
        rm "$dir/program.dwo"
        what="$what, without its .dwo file"
        run "$dir/program"
        physical_lines
    done
done

what="a debug file without a build-id"
compile gcc -g
objcopy --only-keep-debug "$dir/program" "$dir/program.debug"
strip -g "$dir/program"
objcopy "--add-gnu-debuglink=$dir/program.debug" "$dir/program"
run "$dir/program"
all_lines
what="a compressed debug file"
objcopy --compress-debug-sections=zlib "$dir/program.debug"
objcopy --remove-section=.gnu_debuglink "--add-gnu-debuglink=$dir/program.debug" "$dir/program"
run "$dir/program"
all_lines
what="a debug file with another checksum"
echo >>"$dir/program.debug"
run "$dir/program"
no_lines

# ---- a unit of 20,000 functions ----

what="20,000 functions"
awk 'BEGIN {
    print "extern void waits(void);"
    for (i = 0; i < 20000; i++)
        printf "static void f%d(void *a) { waits(); }\n", i
    print "const int n_functions = 20000;\nvoid (*const functions[])(void *) = {"
    for (i = 0; i < 20000; i++)
        printf "f%d,", i
    print "};"
}' >"$dir/many.c"
gcc -g -c "$dir/many.c" -o "$dir/many.o"
gcc "${flags[@]}" -g tests/profiles/many_sample.c "$dir/many.o" "$static" "${libs[@]}" -o "$dir/many"
for kind in "with debug information" "with symbols alone"; do
    took=$("$dir/many" "$dir/dump")
    echo "debug info: first dump of 20,000 functions $kind: $took ms of CPU"
    expect "$kind: a second or so" test "$took" -lt 4000
    expect "$kind: all functions are named" test "$(grep -c '^f[0-9]*(' "$dir/dump")" -eq 20000
    strip -g "$dir/many"
done
[[ $failed -eq 0 ]] && echo "debug info: passed"
exit $failed
