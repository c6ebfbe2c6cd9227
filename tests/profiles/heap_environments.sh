#!/usr/bin/env bash
# heap_environments.sh LIBWEFT.A LIBWEFT.SO WEFT_HEAP.O LIBWEFT_HEAP.SO - the heap profile with each way
# to link the component and above each allocator that is here. The profile is right about the memory of
# the program, or it says why it is not there.
set -euo pipefail
archive=$(realpath "$1") shared=$(realpath "$2") object=$(realpath "$3") preload=$(realpath "$4")
here=$(dirname "$(realpath "$0")")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HEAP_ENV_SOCKET=$dir/socket
failed=0

result() { # TEXT COMMAND...
    if "${@:2}" >/dev/null; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        head -c 1000 "$dir/out"
        tail -1 "$dir/out"
        failed=1
    fi
}

# compile NAME ARGS...: heap_env.c, linked with these
compile() {
    cc -O1 -g -fno-optimize-sibling-calls -fstack-clash-protection -I"$here/../../include" \
        "$here/heap_env.c" -o "$dir/$1" "${@:2}" -luv -ldw -lelf -lprotobuf-c -lz -lpthread
}

# Sets the samples and bytes of all records with this frame.
sums() {
    awk -v RS= -v fn="\t$1+" 'NR == 1 { sub(/^[^\n]*\n/, "") }
        index($0, fn) { live += $1 + 0; bytes += $2 } END { print live + 0, bytes + 0 }' "$dir/out"
}

# Of 4,000 blocks of 16 KiB 123 are samples, within five deviations of 11.
is_right() {
    read -r live bytes <<<"$(sums env_keeps)"
    [[ $live -gt 68 && $live -lt 178 && $bytes -eq $((live * 16384)) ]] &&
        [[ $(sums env_drops) == "0 0" ]] && grep -q '^# weft: heap profile sampling: ' "$dir/out"
}

# The samples that jemalloc takes itself; it rounds their bytes.
own_are_right() {
    read -r live bytes <<<"$(sums env_keeps)"
    [[ $live -gt 68 && $live -lt 178 && $((bytes / live / 100)) -eq 163 ]] &&
        [[ $(sums env_drops) == "0 0" ]] &&
        says '# weft: heap profile sampling by jemalloc itself: ' &&
        says "counts from jemalloc's mallctl"
}

says() { grep -qF -e "$1" "$dir/out"; }

# run NAME VARIABLE=VALUE...
run() { (cd "$dir" && env "${@:2}" "./$1" >"$dir/out" 2>&1) || echo "ends with $?" >>"$dir/out"; }

library() { ldconfig -p | awk -v name="$1" '$1 == name && !seen++ { print $NF }'; }

compile linked "$object" "$archive"
compile bare "$archive"
compile needed -Wl,--no-as-needed "$preload" "$archive" "-Wl,-rpath,${preload%/*}"
compile with_shared "$object" "$shared" "-Wl,-rpath,${shared%/*}"

for name in linked needed with_shared; do
    run $name A=
    result "$name" is_right
done
run bare A=
result "bare is refused" says 'refused: '
result "bare says why" says 'heap profile not linked: link weft_heap.o, or start the program with LD_PRELOAD=libweft_heap.so'
run bare LD_PRELOAD="$preload"
result "bare, preloaded" is_right
run linked LD_PRELOAD="$preload"
result "linked, preloaded as well" is_right
run linked WEFT_HEAP_RATE=0
result "off" says '# weft: heap profile off: '
run linked MALLOC_PERTURB_=165
result "MALLOC_PERTURB_" is_right
run linked WEFT_HEAP_RATE=1
result "rate 1" test "$(sums env_keeps)" = "4000 65536000"

for allocator in libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2.0 libmimalloc.so.2; do
    library=$(library $allocator)
    [[ -n $library ]] || continue
    run linked LD_PRELOAD="$library"
    result "linked, above $allocator" is_right
    run bare LD_PRELOAD="$preload $library"
    result "preloaded, above $allocator" is_right
    run needed LD_PRELOAD="$library"
    result "below $allocator it is not active" says "not the active malloc: $library serves it"
done
[[ -z $(library libjemalloc.so.2) ]] || {
    run linked LD_PRELOAD="$(library libjemalloc.so.2)"
    result "memstats from jemalloc" says "bytes from jemalloc's mallctl"
    run bare MALLOC_CONF=prof:true LD_PRELOAD="$(library libjemalloc.so.2)"
    result "bare: jemalloc's own samples" own_are_right
}

# A static program has no other malloc for the component to forward to, which says so.
echo 'int main(void) { return 0; }' >"$dir/static.c"
if cc -static "$dir/static.c" "$object" -o "$dir/static" 2>/dev/null; then
    run static A=
    result "static: it says what to do" says "link it without weft_heap"
fi

if command -v musl-gcc >/dev/null; then
    printf '%s\n' '#include <stdio.h>' '#include <stdlib.h>' \
        'int main(void) { free(realloc(calloc(3, 100), 1 << 22)); return puts("done") < 0; }' >"$dir/musl.c"
    musl-gcc -D_GNU_SOURCE -I"$here/../.." -O2 -fno-builtin -foptimize-sibling-calls "$dir/musl.c" \
        "$here/../../profiles/heap/interpose.c" -o "$dir/musl"
    run musl A=
    result "musl: the component forwards" says done
fi

cat >"$dir/cxx.cc" <<END
#include <weft.h>
#include <unistd.h>
#include <string>
#include <thread>
#include <vector>
static std::vector<std::string *> kept;
extern "C" __attribute__((noinline)) void env_keeps(void)
{
    for (int i = 0; i < 4000; i++)
        kept.push_back(new std::string(16383, 'x'));
}
extern "C" __attribute__((noinline)) void env_drops(void)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([] {
            for (int n = 0; n < 1000; n++)
                delete new std::string((size_t)n, 'x');
        });
    for (auto &t : threads)
        t.join();
}
static int run(void *)
{
    weft_profile_options o = {};
    o.text = true;
    env_keeps();
    env_drops();
    kept.reserve(1 << 20);
    return weft_profile_write(STDOUT_FILENO, "heap", &o);
}
int main()
{
    return weft_run(run, nullptr);
}
END
if c++ -O1 -g -I"$here/../../include" "$dir/cxx.cc" "$object" "$archive" -o "$dir/cxx" \
    -luv -ldw -lelf -lprotobuf-c -lz -lpthread; then
    run cxx A=
    read -r live bytes <<<"$(sums env_keeps)"
    result "C++" test "$live" -gt 68 -a "$live" -lt 200
else
    result "C++ compiles" false
fi

cat >"$dir/host.py" <<END
import ctypes
weft = ctypes.CDLL("$shared")
blocks = [bytes(16384) for _ in range(4000)]
main = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
options = (ctypes.c_ubyte * 64)(1)
run = main(lambda _: weft.weft_profile_write(1, b"heap", options))
assert weft.weft_run(run, None) == 0
END
if command -v python3 >/dev/null; then
    (cd "$dir" && LD_PRELOAD=$preload python3 host.py >"$dir/out" 2>&1) || true
    result "python that loads libweft.so" says '# weft: heap profile sampling: '
    result "python's blocks" awk '/^heap profile:/ { exit !($3 + 0 > 60) }' "$dir/out"
fi
exit $failed
