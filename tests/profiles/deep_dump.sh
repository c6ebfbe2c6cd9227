#!/usr/bin/env bash
# deep_dump.sh LIVE_SAMPLE - a stack of 512 frames is shown whole, a deeper one by its innermost and
# outermost 256 round Go's line, and panicparse reads either. Status 77: no panicparse.
set -euo pipefail
sample=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. "$(dirname "$0")/../expect.sh"

# The block of the task that waits in sample_bottom.
dump() { # FRAMES [full]
    "$sample" deep "$@" >"$dir/all"
    awk -v RS= '/\nsample_bottom\(/' "$dir/all" >"$dir/deep"
}

# "INNER OUTER": frames on either side of the elision line. Only a frame that is not inlined has an
# offset.
halves() {
    awk '/^created by/ { exit }
        /elided/ { cut++ }
        /^\t.* \+0x/ { n[cut > 0]++ }
        END { print n[0] + 0, n[1] + 0, cut + 0 }' "$dir/deep"
}

count() { grep -c "^$1(" "$dir/deep" || true; }

panicparse_reads() {
    local seen
    seen=$(panicparse <"$dir/all" 2>&1) && [[ $seen == *sample_bottom* && $seen == *sample_entry* ]]
}

# The task waits in so many frames of the runtime, and the deepest that is whole has 512 with them.
dump 10 full
read -r own _ <<<"$(halves)"
own=$((own - 10))
for n in 300 $((512 - own)); do
    dump "$n" full
    expect "$n frames are shown whole" test "$(halves)" = "$((n + own)) 0 0"
done
dump $((513 - own)) full
expect "256 and 256 of 513 frames" test "$(halves)" = "256 256 1"
for n in 700 20000; do
    dump "$n" full
    expect "256 and 256 of $n frames" test "$(halves)" = "256 256 1"
    expect "the innermost of $n" test "$(count sample_inner)" -eq $((255 - own))
    expect "the outermost of $n" test "$(count sample_outer)$(count sample_entry)" = 2551
done
dump 700
expect "Go's grammar has the same outer part" test "$(halves | cut -d' ' -f2-)" = "256 1"
expect "and the same inner part" test "$(count sample_inner)" -eq $((255 - own))

command -v panicparse >/dev/null || exit $((failed ? 1 : 77))
for n in 300 700; do
    dump "$n"
    expect "panicparse reads $n frames" panicparse_reads
done
[[ $failed -eq 0 ]] && echo "deep dump: passed, $own frames are the runtime's own"
