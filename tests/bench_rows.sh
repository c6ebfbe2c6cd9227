#!/usr/bin/env bash
# bench_rows.sh - the bench tells of each row as it is measured, to a file as well, and what it wrote
# stays when it is interrupted. Its programs are stand-ins.
set -euo pipefail
run=$(realpath "$(dirname "$0")/../bench/run.py")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Hangs in the second case, once it has said so.
cat >program <<'END'
#!/bin/sh
case $1 in
yield100k) : >hangs; exec sleep 60 ;;
*) echo "$1 20 ns" ;;
esac
END
chmod +x program
python3 -B "$run" --weft ./program --go ./program --nginx none --rounds 2 yield >table 2>told &
bench=$!
for _ in $(seq 600); do
    [[ ! -e hangs ]] || break
    sleep 0.1
done
kill -TERM $bench
wait $bench && exit 1

grep -q '^work yield, 2 tasks; P 1; unit ns; Go 20 \[20..20\]; weft 20 ' told
grep -q '^yield, 2 tasks  *1  *ns ' out/bench.txt
grep -q '; 1 of [0-9]* rows measured$' out/bench.txt
grep -qF '| yield, 2 tasks |' out/bench.md
[[ ! -s table ]]
echo "bench rows: passed"
