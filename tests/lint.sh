#!/usr/bin/env bash
# lint.sh [ROOT] - the rules of the tree that no compiler checks. Prints FILE:LINE: RULE for each
# breach and fails if there was one. lint_selftest.sh proves that each rule bites.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

breaches=$(mktemp)
trap 'rm -f "$breaches"' EXIT

# files FOLDERS NAME-PATTERN [ALLOWED-PATTERN]: the sources a rule is about.
files() {
    local folder
    for folder in $1; do
        [[ ! -d $folder ]] || find "$folder" -name "$2"
    done | grep -vE "^(${3:-})\$" | sort || true
}

# rule TEXT REGEX FILE...: no line of these files may match; comment lines do not count.
rule() {
    [[ $# -gt 2 ]] || return 0
    { grep -nHE "$2" "${@:3}" || true; } | grep -vE '^[^:]*:[0-9]+: *(/?\*|//)' |
        awk -F: -v rule="$1" '{ print $1 ":" $2 ": " rule }' >>"$breaches" || true
}

# A regex for an #include of any header that lives in these folders.
includes_of() {
    local folders names
    folders=$(IFS='|' && echo "$*")
    names=$(find "$@" -name '*.h' -printf '%f\n' 2>/dev/null | sed 's/\.h$//' | paste -sd '|') || true
    echo "^ *# *include *\"((\.\./)?($folders)/|(${names:-none})\.h\")"
}

lint_includes() {
    # shellcheck disable=SC2046 # no name here has a blank
    {
        rule "runtime/ includes nothing of profiles/ or http/" "$(includes_of profiles http)" \
            $(files runtime '*.[ch]')
        rule "profiles/ includes nothing of http/" "$(includes_of http)" $(files profiles '*.[ch]')
        rule "in http/ only debug_*.c includes profiles/" "$(includes_of profiles)" \
            $(files http '*.[ch]' 'http/debug_.*\.c')
        rule "only runtime/uv_* includes uv.h" '# *include *[<"]uv\.h' \
            $(files "include runtime profiles http tests examples" '*.[ch]' 'runtime/uv_.*')
    }
}

lint_places() {
    local ours="include runtime profiles http"
    local cpu='__linux__|__APPLE__|__FreeBSD__|__unix__|_WIN32|__x86_64__|__i386__|__amd64__|__aarch64__|__arm__|__riscv'
    # shellcheck disable=SC2046
    {
        rule "thread-locals live in runtime/self.c" '\b(_Thread_local|__thread|thread_local)\b' \
            $(files "$ours" '*.[ch]' 'runtime/self\.c')
        rule "#if on system or processor is not for this file" \
            "^ *# *(if|ifdef|ifndef|elif)\b.*\b($cpu)" \
            $(files "$ours" '*.[chS]' '.*/(atomic\.h|ctx.*\.[chS]|unwind_.*\.h|clock\.[ch]|(stack|maps)\.c)')
        rule "atomics are spelled in runtime/atomic.h" \
            '\b_Atomic\b|__atomic_|__sync_|stdatomic\.h' \
            $(files "include runtime" '*.[ch]' 'runtime/atomic\.h')
        rule "WEFT_ variables are read by runtime/env.c" 'getenv\("WEFT_' \
            $(files "$ours" '*.[ch]' 'runtime/env\.c')
        rule "case is ASCII's, not the locale's: weft__same_word" \
            '\bstrn?casecmp *\(|\b(is(alpha|alnum|digit|space|upper|lower|print)|to(lower|upper)) *\(' \
            $(files "runtime profiles http" '*.[ch]')
        rule "uv_run is called by runtime/uv_* alone" '\buv_run *\(' \
            $(files "$ours" '*.[ch]' 'runtime/uv_.*\.c')
        rule "no pthread condition variable: park a task, or a thread in worker.c, monitor.c, pool.c, symbolize.c or tasks.c" \
            '\bpthread_cond_' \
            $(files "$ours" '*.[ch]' 'runtime/(worker|monitor|lock|pool)\.c|profiles/(symbolize|tasks)\.c')
        rule "a task is switched by park.c, worker.c and task.c alone" '\bweft__switch[a-z_]* *\(' \
            $(files "runtime profiles http" '*.c' 'runtime/(ctx|park|worker|task)\.c')
    }
}

lint_length() {
    local file lines
    for file in $(files "include runtime profiles http" '*.[chS]'); do
        lines=$(wc -l <"$file")
        [[ $lines -le 800 ]] || echo "$file:$lines: more than 800 lines" >>"$breaches"
    done
}

# Each public header compiles alone, as C11 and as C++17.
lint_headers() {
    local header flags=(-Iinclude -Wall -Wextra -Wpedantic -Werror -fsyntax-only)
    for header in $(files include '*.h'); do
        gcc -std=c11 "${flags[@]}" -x c - <<<"#include \"$header\"" -I. ||
            echo "$header:1: does not compile alone as C11" >>"$breaches"
        g++ -std=c++17 "${flags[@]}" -x c++ - <<<"#include \"$header\"" -I. ||
            echo "$header:1: does not compile alone as C++17" >>"$breaches"
    done
}

lint_includes
lint_places
lint_length
lint_headers
cat "$breaches"
[[ ! -s $breaches ]] && echo "lint: clean"
