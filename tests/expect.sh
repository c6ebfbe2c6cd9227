# expect.sh - sourced by the scripts that test: failed=1 once something was not so.
failed=0

expect() { # WHAT COMMAND...
    "${@:2}" || {
        echo "${0##*/}: not so: $1"
        failed=1
    }
}
