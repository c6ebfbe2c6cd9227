#!/usr/bin/env bash
# idle.sh LIVE_SAMPLE - a program sleeps if all its tasks wait, one of them for a distant timer: all
# its threads together have at most 20 context switches in 10 s.
set -euo pipefail
coproc sample { exec "$1" idle; }
pid=$sample_PID
trap 'kill -9 $pid' EXIT

switches() {
    cat /proc/"$pid"/task/*/status | awk '/ctxt_switches:/ { n += $2 } END { print n }'
}

threads() { find /proc/"$pid"/task -mindepth 1 -maxdepth 1 | wc -l; }

read -r line <&"${sample[0]}"
[[ $line == idle ]]
# It counts from when the processors and the monitor, who look round for a while, have gone to
# sleep: one second without a switch.
last=-1
for ((i = 0; i < 60; i++)); do
    now=$(switches)
    [[ $now -ne $last ]] || break
    last=$now
    sleep 1
done
before=$(switches)
sleep 10
after=$(switches)
echo "idle: $((after - before)) context switches of $(threads) threads in 10 s"
[[ $((after - before)) -le 20 ]]
