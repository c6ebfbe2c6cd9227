#!/usr/bin/env bash
# terminate.sh PROGRAM - std::terminate shows all tasks and ends the process by SIGABRT.
set -euo pipefail
ulimit -c 0
status=0
said=$("$1" 2>&1) || status=$?
for text in "nobody catches it" "SIGABRT: abort" "weft: goroutine 1 died on thread" \
    "goroutine 1 [running]:" "goroutine 2 ["; do
    grep -qF "$text" <<<"$said" || { echo "not ok - no \"$text\" in: $said"; exit 1; }
done
[[ $status -eq 134 ]] || { echo "not ok - status $status"; exit 1; }
echo "ok - all tasks shown, status 134"
