#!/usr/bin/env bash
# heap_pprof.sh HEAP_SAMPLE - go tool pprof of each Go that is here reads the heap profile, in both
# forms, and scales its samples to the memory that the program allocated. Status 77: no go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. "$(dirname "$0")/../expect.sh"

gos=()
for go in /usr/bin/go /usr/lib/go-*/bin/go; do
    [[ ! -x $go ]] || gos+=("$go")
done
[[ ${#gos[@]} -gt 0 ]] || {
    echo "heap pprof: skipped, there is no go"
    exit 77
}

tests=$(cd "$(dirname "$0")/.." && pwd)
pprof() { # GO ARGS...
    (cd "$dir" && HOME=$dir PPROF_TMPDIR=$dir PPROF_BINARY_PATH=/nonexistent \
        "$1" tool pprof -source_path "$tests" -unit=MB "${@:2}" 2>"$dir/err") || cat "$dir/err"
}

# Of N blocks some 0.0308 N are samples; a function's memory is right within five deviations.
is_near() { # FILE FUNCTION BLOCKS
    awk -v fn="$2" -v n="$3" '$NF == fn { got = $1 + 0 }
        END { exact = n / 64; off = 5 / sqrt(n * .0308); exit !(got > exact * (1 - off) && got < exact * (1 + off)) }' \
        "$dir/$1"
}

for name in heap allocs; do
    "$1" $name >"$dir/$name.pb.gz"
    "$1" $name text >"$dir/$name.txt"
done
"$1" leak "$dir/before.pb.gz" "$dir/after.pb.gz" "$dir/old.pb.gz"

# The first function of a list.
leads() { # FILE FUNCTION
    awk -v fn="$2" '$1 == "flat" { getline; exit $NF != fn }' "$dir/$1"
}

for go in "${gos[@]}"; do
    pprof "$go" -top -focus='sample_(leaks|frees|renews)' -diff_base=before.pb.gz after.pb.gz >"$dir/diff.top"
    pprof "$go" -top old.pb.gz >"$dir/old.top"
    for file in diff old; do
        expect "$go: the leak leads $file" leads $file.top sample_pond
    done
    expect "$go: the old blocks are the leak's" is_near old.top sample_pond 2000
    expect "$go: none that is in use and young is old" test -z "$(grep sample_renews "$dir/old.top")"
    pprof "$go" -top heap.pb.gz >"$dir/heap.top"
    pprof "$go" -top allocs.pb.gz >"$dir/allocs.top"
    pprof "$go" -tags -sample_index=alloc_space heap.pb.gz >"$dir/tags"
    pprof "$go" -symbolize=none -sample_index=inuse_space -top heap.txt |
        sed -n 's/^Showing.* of \([0-9.]*MB\) total/\1 all/p' >"$dir/text.top"
    pprof "$go" -sample_index=alloc_objects -top heap.pb.gz >"$dir/objects.top"
    pprof "$go" -list '^sample_lake$' heap.pb.gz >"$dir/list"
    pprof "$go" -peek '^sample_rain$' allocs.pb.gz >"$dir/peek"
    expect "$go: lines of C have their memory" grep -qE '^ +[0-9.]+MB +[0-9.]+MB +[0-9]+: +\*to\+\+ = malloc' "$dir/list"
    expect "$go: callers are told" grep -qE '^ +[0-9.]+MB +100% \| +weft_labels_do$' "$dir/peek"
    expect "$go: heap shows first the memory in use" grep -qx 'Type: inuse_space' "$dir/heap.top"
    expect "$go: allocs shows first all memory" grep -qx 'Type: alloc_space' "$dir/allocs.top"
    expect "$go: all of the text" is_near text.top all 5000
    for file in heap allocs; do
        expect "$go: the lake in $file" is_near $file.top sample_lake 4000
        expect "$go: the pond in $file" is_near $file.top sample_pond 1000
    done
    expect "$go: rain has no memory in use" test -z "$(grep sample_rain "$dir/heap.top")"
    expect "$go: rain allocated" is_near allocs.top sample_rain 2000
    expect "$go: by label" grep -qE '^ *[0-9.]+MB .*: wet$' "$dir/tags"
    expect "$go: by size" grep -qE '^ *[0-9.]+MB .*: (0\.02MB|16kB)$' "$dir/tags"
    expect "$go: objects" awk '$NF == "sample_lake" { n = $1 + 0 } END { exit !(n > 2000 && n < 6000) }' \
        "$dir/objects.top"
done
[[ $failed -eq 0 ]] && echo "heap pprof: passed" || tail -n +1 "$dir"/*.top "$dir"/{tags,list,peek}
exit $failed
