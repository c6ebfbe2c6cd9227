#!/usr/bin/env bash
# lint.sh [ROOT] - the rules of the tree that no compiler checks. Prints FILE:LINE: RULE for each
# breach and fails if there was one. lint_selftest.sh proves that each rule bites.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
circles=$here/circles.py
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

# From the lowest to the highest: a file includes headers of its own folder and of those before it.
layers=(runtime/base runtime/machine runtime/uv runtime/sched runtime/sync runtime/io
    runtime/run profiles/walk profiles/table profiles/capture profiles/heap profiles/cpu
    profiles/render profiles/trace profiles/account http/wire http/server http/debug tools/dump
    tools/flight tools/top)

lint_layers() {
    local i higher
    for ((i = 0; i < ${#layers[@]} - 1; i++)); do
        higher=$(IFS='|' && echo "${layers[*]:i+1}")
        [[ ! -d ${layers[i]} ]] || grep -rnE "^ *# *include *\"($higher)/" "${layers[i]}" |
            awk -F: -v folder="${layers[i]}" \
                '{ print $1 ":" $2 ": " folder "/ includes nothing of a higher layer" }' \
                >>"$breaches" || true
    done
}

lint_includes() {
    local ours="include runtime profiles http"
    files "runtime profiles http" '*.[chS]' | grep -vE "^($(IFS='|' && echo "${layers[*]}"))/[^/]*$" |
        sed 's/$/:1: files live in a folder of the layers/' >>"$breaches" || true
    # shellcheck disable=SC2046
    {
        rule "includes are written from the root" '^ *# *include *"(\.|[^/"]*\.h")' \
            $(files "runtime profiles http" '*.[ch]' | xargs -r grep -L '\(profile\|perfetto\)\.pb-c\.h')
        rule "http/wire/ and http/server/ include nothing of profiles/" '^ *# *include *"profiles/' \
            $(files "http/wire http/server" '*.[ch]')
        rule "only runtime/uv/ includes uv.h" '# *include *[<"]uv\.h' \
            $(files "$ours tests examples" '*.[ch]' 'runtime/uv/.*|tests/runtime/test_embed.c')
    }
}

lint_places() {
    local ours="include runtime profiles http"
    local cpu='__linux__|__APPLE__|__FreeBSD__|__unix__|_WIN32|__x86_64__|__i386__|__amd64__|__aarch64__|__arm__|__riscv'
    # shellcheck disable=SC2046
    {
        rule "thread-locals live in runtime/base/self.c, and in the component heap/interpose.c" \
            '\b(_Thread_local|__thread|thread_local)\b' \
            $(files "$ours" '*.[ch]' 'runtime/base/self\.c|profiles/heap/interpose\.c')
        rule "#if on system or processor is not for this file" \
            "^ *# *(if|ifdef|ifndef|elif)\b.*\b($cpu)" \
            $(files "$ours" '*.[chS]' '.*/(atomic\.h|ctx.*\.[chS]|unwind_.*\.h|clock\.[ch]|(stack|maps)\.c)')
        rule "atomics are spelled in runtime/base/atomic.h" \
            '\b_Atomic\b|__atomic_|__sync_|stdatomic\.h' \
            $(files "include runtime" '*.[ch]' 'runtime/base/atomic\.h')
        rule "WEFT_ variables are read by runtime/base/env.c" 'getenv\("WEFT_' \
            $(files "$ours" '*.[ch]' 'runtime/base/env\.c')
        rule "lines of our own go through weft__log, and only reports of death to stderr" \
            '\b(stderr|stdout|STD(ERR|OUT)_FILENO)\b|\b(v?d?printf|puts|putchar|perror) *\(' \
            $(files "$ours" '*.c' 'runtime/(base/(log|death)|sched/fatal|run/files)\.c|profiles/heap/interpose\.c')
        rule "case is ASCII's, not the locale's: weft__same_word" \
            '\bstrn?casecmp *\(|\b(is(alpha|alnum|digit|space|upper|lower|print)|to(lower|upper)) *\(' \
            $(files "runtime profiles http" '*.[ch]')
        rule "uv_run is called by runtime/uv/ alone" '\buv_run *\(' \
            $(files "$ours" '*.[ch]' 'runtime/uv/.*\.c')
        rule "no pthread condition variable: park a task, or a thread in worker.c, monitor.c, pool.c, symbolize.c or tasks.c" \
            '\bpthread_cond_' \
            $(files "$ours" '*.[ch]' 'runtime/(sched/(worker|monitor|pool)|base/lock)\.c|profiles/(walk/symbolize|capture/tasks)\.c')
        rule "a task's state is written by weft__task_move alone" \
            '\bweft__(store|xchg|cas)[a-z_]*\(&[^,;]*(->|\.)state, *WEFT__(IDLE|RUNNABLE|RUNNING|PARKED|LOST|DEAD)\b' \
            $(files "runtime profiles http" '*.[ch]')
        rule "a conflict of git is resolved" '^(<<<<<<<|>>>>>>>) ' \
            $(files "$ours tests bench examples tools" '*.*')
        rule "a task is switched by park.c, switch.c, worker.c and task.c alone" '\bweft__switch[a-z_]* *\(' \
            $(files "runtime profiles http" '*.c' 'runtime/(machine/ctx|sched/(park|switch|worker|task))\.c')
    }
}

# The moves in a text with "A -> B -> C" in its table's first column.
moves_of_readme() {
    sed -n '/^## States/,/^## The/p' "$1" | sed -n 's/^| \([A-Z][A-Z >-]*\) |.*/\1/p' |
        awk -F' -> ' '{ for (i = 1; i < NF; i++) print $i " -> " $(i + 1) }' | sort -u
}

moves_of_code() {
    sed -n 's/^ *\[WEFT__\([A-Z]*\)\] = \(TO(.*\),$/\1 \2/p' "$1" | tr -d '()|' |
        awk '{ for (i = 2; i <= NF; i++) print $1 " -> " substr($i, 3) }' | sort -u
}

lint_states() {
    local readme=runtime/sched/README.md code=runtime/sched/task.c
    [[ -e $readme && -e $code ]] || return 0
    diff <(moves_of_readme $readme) <(moves_of_code $code) |
        sed -n "s,^[<>] \(.*\),$readme:1: the table of states and task.c's moves differ: \1,p" \
            >>"$breaches" || true
}

# Each folder of the layers, and each that holds them, has a README.md that is short.
lint_readmes() {
    local folder lines
    for folder in runtime profiles http tools "${layers[@]}"; do
        if [[ ! -e $folder/README.md ]]; then
            echo "$folder/README.md:1: each folder has a README.md"
            continue
        fi
        lines=$(wc -l <"$folder/README.md")
        [[ $lines -le 60 ]] || echo "$folder/README.md:$lines: more than 60 lines"
    done
}

# The README.md of a folder names its sources (a .c file's name stands for the header's, too), and
# no file without a folder in front that is not there.
lint_readme_names() {
    local folder file line name
    for file in $(files "${layers[*]}" '*.[chS]'); do
        [[ $file == *.h && -e ${file%.h}.c ]] ||
            grep -qsF "\`${file##*/}\`" "${file%/*}/README.md" ||
            echo "$file:1: its folder's README.md names each file"
    done
    for folder in "${layers[@]}"; do
        { grep -noEs "\`[a-z_0-9]+\.[chS]\`" "$folder/README.md" || true; } | tr -d '`' |
            while IFS=: read -r line name; do
                [[ -e $folder/$name ]] || echo "$folder/README.md:$line: there is no $name here"
            done
    done
}

# The walks of the READMEs: `function` (`file.c`) means that this file defines the function. A walk
# has at most eight hops and enters no file twice.
lint_walks() {
    local folder line name file
    for folder in runtime profiles http; do
        { grep -noEs "\`[a-z_]+\` \(\`[a-z/_]+\.c\`" "$folder/README.md" || true; } | tr -d '\`(' |
            while IFS=': ' read -r line name file; do
                grep -qsE "^[a-z].*\b$name\(" "$folder/$file" "$file" ||
                    echo "$folder/README.md:$line: $file does not define $name"
            done
        [[ ! -e $folder/README.md ]] || awk '
            function breach(text) { print FILENAME ":" NR ": " text }
            /^## / { split("", entered) }
            /^[0-9]+\. .*\(`[a-z\/_]+\.c`\)/ {
                match($0, /\(`[a-z\/_]+\.c`\)/)
                if (entered[substr($0, RSTART, RLENGTH)]++) breach("a walk enters a file twice")
            }
            /^(9|[1-9][0-9])\. / { breach("a walk has at most 8 hops") }' "$folder/README.md"
    done
}

# The WEFT_API functions of the headers, and the names that the library's map exports.
api_of_headers() {
    cat include/weft/*.h | gcc -fpreprocessed -dD -E -P - 2>/dev/null | sed '/^#/d' | tr -s '\n ' ' ' |
        grep -oE '\bWEFT_API [^;{(]*\(' | sed 's/($//; s/.*[ *]//' | sort -u
}

lint_exports() {
    local map=cmake/weft.map
    [[ ! -e $map ]] || diff <(api_of_headers) <(sed -n 's/^ *\(weft_.*\);$/\1/p' $map) |
        sed -n "s,^[<>] \(.*\),$map:1: the map (sorted) and the WEFT_API functions differ: \1,p" \
            >>"$breaches" || true
}

# Each wait reason's text stands in the public header as a word of its own.
lint_words() {
    local line text file=runtime/sched/wait.h
    [[ -f $file ]] || return 0
    grep -nE '^    XX\(' $file | while IFS='":' read -r line _ text _; do
        grep -qsE "^ \*   (.*, )?${text//[()]/.}(,|  |$)" include/weft/dump.h ||
            echo "$file:$line: include/weft/dump.h has each wait reason" >>"$breaches"
    done
}

lint_length() {
    local file lines
    for file in $(files "include runtime profiles http" '*.[chS]'); do
        lines=$(wc -l <"$file")
        [[ $lines -le 800 ]] || echo "$file:$lines: more than 800 lines" >>"$breaches"
    done
}

# Each public header compiles alone, as C11 and as C++17, without the warnings that strict projects
# ask for.
lint_headers() {
    local header flags=(-Iinclude -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual
        -Wundef -Wredundant-decls -Werror -fsyntax-only)
    local cxx=(-std=c++17 -Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant)
    for header in $(files include '*.h'); do
        gcc -std=c11 "${flags[@]}" -Wstrict-prototypes -Wc++-compat -x c - <<<"#include \"$header\"" -I. ||
            echo "$header:1: does not compile alone as C11" >>"$breaches"
    done
    for header in $(files include '*.h') $(files include '*.hpp'); do
        g++ "${cxx[@]}" "${flags[@]}" -x c++ - <<<"#include \"$header\"" -I. ||
            echo "$header:1: does not compile alone as strict C++17" >>"$breaches"
    done
}

lint_layers
lint_includes
lint_states
{ lint_readmes; lint_readme_names; lint_walks; } >>"$breaches"
lint_places
lint_words
lint_length
lint_exports
lint_headers
"$circles" . >>"$breaches" ||
    echo "$circles:1: more circles than its tables allow; with -v it shows them" >>"$breaches"
{ "$here/words.py" .; "$here/share.py" .; } >>"$breaches"
cat "$breaches"
[[ ! -s $breaches ]] && echo "lint: clean"
