# expect.sh - sourced by the scripts that test: failed=1 once something was not so.
failed=0

expect() { # WHAT COMMAND...
    "${@:2}" || {
        echo "${0##*/}: not so: $1"
        failed=1
    }
}

# has_lines FILE TIMES REGEX: so many lines of the file match. The first failure shows the file.
has_lines() {
    local found
    found=$(grep -cE -- "$3" "$1" || true)
    [[ $found -ne $2 ]] || return 0
    echo "${0##*/}: $1: $found lines with '$3', not $2"
    [[ $failed -eq 1 ]] || cat "$1"
    failed=1
}
