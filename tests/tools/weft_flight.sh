#!/usr/bin/env bash
# weft_flight.sh WEFT_FLIGHT FLIGHT_SAMPLE - names in a record whose program is still there, was
# stripped, was rebuilt, is gone; one task alone. flight_kill.py reads records as such.
set -euo pipefail
tool=$1 sample=$2
dir=$(mktemp -d /dev/shm/weft-flight-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "weft_flight.sh: $*" >&2
    exit 1
}

# says FILE TEXT...
says() {
    local text
    for text in "${@:2}"; do
        grep -qF -- "$text" "$1" || fail "no \"$text\" in: $(cat "$1")"
    done
}

show() { "$tool" "$@" "$dir/record" >"$dir/out" 2>"$dir/err"; }

cp "$sample" "$dir/program"
head -c 8 /dev/zero >"$dir/stamp"
WEFT_FLIGHT=$dir/record WEFT_FLIGHT_MB=1 "$dir/program" "$dir/stamp" &
for _ in {1..600}; do # until the record has the stack of a wait
    ! show || ! grep -q "weft_chan_recv < echo" "$dir/out" || break
    sleep 0.05
done
kill -KILL $!
wait $! 2>/dev/null || true

show
says "$dir/out" "$dir/program, process $!, began 2" ", did not end in order" " echo" \
    "  at weft_chan_recv < echo flight_sample.c:"
[[ ! -s $dir/err ]] || fail "$(cat "$dir/err")"

for format in 1 2 perfetto; do
    show --format=$format
    says "$dir/out" weft_chan_recv
    ! grep -qaF weft__hear_ "$dir/out" || fail "the recorder itself is in stacks of format $format"
done

show --task=2
says "$dir/out" "task 2 echo: " "runs on processor"
[[ $(grep -c '^task ' "$dir/out") == 1 ]] || fail "other tasks beside task 2"
show --task=999999999
says "$dir/out" "the record has no event of task 999999999"

strip "$dir/program"
show
says "$dir/out" " program+0x"
[[ ! -s $dir/err ]] || fail "$(cat "$dir/err")"

rm "$dir/program"
cp "$tool" "$dir/program"
show
says "$dir/out" " program+0x"
says "$dir/err" "$dir/program: it was rebuilt since (its build-id is another); its functions are shown as program+0xOFFSET"

rm "$dir/program"
show
says "$dir/out" " program+0x"
says "$dir/err" "$dir/program: No such file or directory; its functions"

"$tool" --task=x "$dir/record" 2>"$dir/err" && fail "it takes --task=x"
says "$dir/err" "usage: weft-flight"
echo "weft_flight: passed"
