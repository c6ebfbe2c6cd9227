#!/usr/bin/env bash
# check_selftest.sh PROGRAM - the harness reports each kind of end rightly; PROGRAM is check_sample.
set -euo pipefail
program=$1
missed=0

expect() {
    grep -qF -- "$1" <<<"$output" || {
        echo "the harness does not say: $1"
        missed=$((missed + 1))
    }
}

status=0
output=$(WEFT_TEST_TIMEOUT=2 "$program" 2>&1) || status=$?
[[ $status -eq 1 ]] || expect "exit status 1, not $status"
expect "ok   ends_well ("
expect "ok   ends_well_outside ("
expect "ok   aborts_as_expected ("
expect "ok   exits_as_expected ("
expect "ok   leaves_a_process_behind ("
expect "FAIL eq_shows_both_sides: status 1, expected 0"
expect "written before the end"
expect "CHECK_EQ(1 + 1 == 3): 2 and 3"
expect 'CHECK_STR("left" == "right"): "left" and "right"'
expect 'CHECK_CONTAINS("hello"): no "goodbye" in "hello"'
expect 'FAIL dies_with_other_words: stderr does not contain "last words"'
expect "FAIL does_not_die: status 0, expected 3"
expect "FAIL dies_unexpectedly: status 134, expected 0"
expect "FAIL hangs: not ended after 2 s"
expect "skip is_skipped: for a reason"
expect "5 passed, 7 failed, 1 skipped"
[[ $("$program" --list | wc -l) -eq 13 ]] || expect "13 names with --list"
output=$("$program" ends_well)
expect "2 passed, 0 failed"
! "$program" no_such_test >/dev/null || expect "a failure for a name that fits no test"
[[ $missed -eq 0 ]] || { echo "$output" && exit 1; }
echo "check self-test: passed"
