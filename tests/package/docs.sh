#!/usr/bin/env bash
# docs.sh FOLDER - the reference in FOLDER, as cmake/docs/make.sh made it, is whole: a page for man of each
# function, in roff that mandoc understands, a page of HTML for each header, and weft(7), which knows
# each header and each variable of the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
docs=$(realpath "$1")
failed=0

miss() {
    echo "docs: $1"
    failed=1
}

for name in $(sed -n 's/^ *\(weft_.*\);$/\1/p' cmake/weft.map); do
    [[ -e $docs/man/man3/$name.3 ]] || miss "no page of $name"
done
for header in include/weft/*.h; do
    grep -q "Xr weft_${header##*/} 3" cmake/docs/weft.7 || miss "weft(7) does not have $header"
done
for header in include/weft/*.h*; do
    grep -qs "${header#include/weft/}" "$docs/html/files.html" || miss "$header is not among the files"
done
for name in $(grep -rhoE 'weft__env[a-z_]*\("WEFT_[A-Z_]+"' runtime profiles | sed 's/.*(//' | tr -d '"' | grep -v WEFT_BREAK | sort -u); do
    grep -q "^\.It Ev $name\$" cmake/docs/weft.7 || miss "weft(7) does not have $name"
done

# Among the generated pages errors count; doxygen's style is its own.
(cd "$docs/man" && mandoc -T lint -W error man3/*.3 && mandoc -T lint -W warning man7/*.7) || failed=1
mandoc -T lint -W warning cmake/docs/*.1 || failed=1
page=$(MANPATH=$docs/man man weft_chan_send_until 2>/dev/null | col -b)
for text in 'weft/chan.h - typed' '#include <weft/chan.h>' 'int weft_chan_send_until' 'Sends a copy of \*elem. 0; WEFT_ECLOSED' \
    'numbers_send(to, i);'; do
    grep -q -- "$text" <<<"$page" || miss "man weft_chan_send_until does not say: $text"
done
! grep '#include <weft/[^c].*.h>' <<<"$page" || miss "man weft_chan_send_until includes another header"
grep -q 'WEFT_PROCS' <<<"$(MANPATH=$docs/man man 7 weft 2>/dev/null)" || miss "man 7 weft does not have WEFT_PROCS"
[[ $failed -eq 0 ]] && echo "docs: passed"
exit $failed
