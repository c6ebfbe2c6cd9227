#!/usr/bin/env bash
# torture_mutants.sh TORTURE_CUT TORTURE_SINKS_HASTY - torture_cut notices, within 60 s, a capture that
# leaves out one of the workers' duties, or takes the holders of locks from after the cut. And
# torture_sinks notices, within 20 s, a removal that does not wait for the sink's functions.
set -uo pipefail

failed=0
for mutant in skip_copy_on_resume late_running late_owners; do
    text=$(WEFT_BREAK=$mutant timeout 90 "$1" 60 "$RANDOM" 2>&1)
    if [[ $? -eq 1 && $text == *"cut: snapshot"* ]]; then
        echo "ok - $mutant: $text"
    else
        echo "not ok - $mutant was not caught: $text"
        failed=1
    fi
done
if text=$(timeout 90 "$2" 20 "$RANDOM" 2>&1) || [[ ! $text =~ 'not so:'|SIGSEGV|SIGBUS ]]; then
    echo "not ok - hasty removal was not noticed: $text"
    failed=1
else
    echo "ok - hasty removal: ${text%%$'\n'*}"
fi
exit $failed
