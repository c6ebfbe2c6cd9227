#!/bin/sh
# SPDX-License-Identifier: MIT
# orders_example.sh WEFT_ORDERS WEFT_LOAD - the service is ended while it is under load: no answer
# is wrong, and every order that was acknowledged is in the database.
set -eu
dir=$(mktemp -d)
trap 'kill $service 2>/dev/null || true; rm -rf "$dir"' EXIT
"$1" "unix:$dir/api" "unix:$dir/debug" "$dir/orders.db" 2>"$dir/log" &
service=$!
curl -s -o "$dir/vars" --retry 20 --retry-delay 1 --retry-all-errors --unix-socket "$dir/debug" \
    http://localhost/debug/vars
"$2" "unix:$dir/api" 32 4 >"$dir/result" 2>"$dir/load.log" &
load=$!
sleep 2
curl -sf -o "$dir/dump" --unix-socket "$dir/debug" 'http://localhost/debug/pprof/goroutine?debug=2'
kill -TERM $service
wait $service || { cat "$dir/log"; exit 1; }
wait $load || { cat "$dir/load.log" "$dir/result"; exit 1; }
grep -q '^created by' "$dir/dump"
grep -q '(clerk|bookkeeper|keep_books)' -E "$dir/dump"
awk -f "$(dirname "$0")/../examples/digest.awk" "$dir/dump" >"$dir/digest"
grep -q ' at [a-z]*\.c:[0-9]* in [a-z_]*$' "$dir/digest"
! grep -qE ' in weft_' "$dir/digest" || { cat "$dir/digest"; exit 1; } # a place is the program's
stored=$(sed -n 's/.* \([0-9]*\) orders stored.*/\1/p' "$dir/result")
rows=$(python3 -c "import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM orders').fetchone()[0])" "$dir/orders.db")
echo "$stored orders acknowledged, $rows in the database"
[ "$stored" -gt 0 ] && [ "$rows" -ge "$stored" ]
