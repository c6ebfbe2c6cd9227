#!/usr/bin/env bash
# make.sh OUT - the reference from the comments of the headers: OUT/html, and pages for man in OUT/man.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(realpath -m "$1")
version=$(sed -n 's/^#define WEFT_VERSION "\(.*\)"/\1/p' include/weft/version.h)
rm -rf "$out"
mkdir -p "$out/man/man7"

run_doxygen() { # SETTING...
    { cat cmake/docs/Doxyfile && printf '%s\n' "OUTPUT_DIRECTORY = $out" "PROJECT_NUMBER = $version" "$@"; } |
        doxygen - 2>&1 | tee -a "$out/warnings"
}

run_doxygen "GENERATE_MAN = NO"
run_doxygen "GENERATE_MAN = YES" "GENERATE_HTML = NO" "FILE_PATTERNS = *.h"
cp cmake/docs/weft.7 "$out/man/man7/"

# doxygen names a page after its file, such as time.h(3), and makes links of all names, also those of
# members. Its roff has a font that only groff knows, lines that begin with a quote, and pages of
# types whose names say no more.
cd "$out/man/man3"
find . -name '[!w]*.h.3' -printf '%f\n' | while read -r page; do
    mv "$page" "weft_$page"
done
find . ! -type d ! -name 'weft*' ! -name 'WEFT_*' -delete
sed -i -E "s,^\.so man3/([^w][^/]*\.h\.3),.so man3/weft_\1,
    s,^\.TH \"weft/,.TH \"weft_,
    s,\\\\fC,\\\\fB,g
    s,^',\\\\\\&',
    s, +$,,
    /^\.SH NAME/{n; /-/!s,$, \\\\- a type of weft,}" ./*.3
[[ ! -s $out/warnings ]]
