#!/usr/bin/env bash
# packages.sh FOLDER - lintian finds no fault with the Debian packages in FOLDER but those listed here.
# They install, serve a program in C and one in C++, and go away again without a trace, in a root
# that lies over this machine's and is thrown away.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
folder=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# maintscript-calls-ldconfig: cpack writes these scripts itself, beside the trigger that replaces them.
# hardening-no-fortify-functions: no function of the C library with a checked form is called.
known='maintscript-calls-ldconfig|hardening-no-fortify-functions'
lintian --allow-root --tag-display-limit 0 "$folder"/*.deb >"$dir/lintian" 2>&1 || true # known faults, too
if grep -E '^[EW]: ' "$dir/lintian" | grep -vE "$known"; then
    echo "packages: lintian finds these faults"
    exit 1
fi

inside() { # in the root; the packages are there in /packages, the programs in /consumer
    cd /consumer
    dpkg -i /packages/*.deb >/dev/null
    cc -Wall -Werror hello.c $(pkg-config --cflags --libs weft) -o hello_c
    c++ -std=c++17 -Wall -Werror hello.cc $(pkg-config --cflags --libs weft) -o hello_cxx
    cc hello.c $(pkg-config --static --cflags --libs weft | sed 's/-lweft/-l:libweft.a/') -o hello_static
    for program in hello_c hello_cxx hello_static; do
        [[ $(./$program) == hello ]]
    done
    [[ $(ldconfig -p) == *libweft.so.0* ]]
    ! command -v gdb >/dev/null || # it needs no setting to know the tasks
        grep -qE '^ +[0-9]+ +running' <<<"$(DEBUGINFOD_URLS= gdb -nx -batch -ex 'set breakpoint pending on' \
            -ex 'break weft_chan_recv_until' -ex run -ex 'info tasks' ./hello_c 2>&1)"
    [[ ! -e /usr/bin/man ]] || man -w weft_chan_send 7 weft >/dev/null
    ! dpkg -L weft-tools >/dev/null 2>&1 ||
        dpkg -L weft-tools | grep '/bin/' | while read -r tool; do
            [[ $("$tool" -h 2>&1) == *usage* ]]
        done
    dpkg --purge weft-tools libweft-dev libweft0 >/dev/null 2>&1
    [[ $(ldconfig -p) != *libweft* ]]
    left=$(find /usr /etc /var -xdev -name '*weft*' -newer /began ! -path '/var/cache/*')
    [[ -z $left ]] || echo "packages: left behind: $left"
    [[ -z $left ]]
}

over_root() {
    mount -t tmpfs weft "$dir"
    mkdir -p "$dir"/{upper,work,root}
    mount -t overlay weft -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
    for place in proc dev sys; do
        mount --rbind "/$place" "$dir/root/$place"
    done
    mkdir "$dir/root"/{packages,consumer}
    cp "$folder"/*.deb "$dir/root/packages/"
    cp "$here"/consumer/* "$dir/root/consumer/"
    : >"$dir/root/began"
    chroot "$dir/root" bash -euo pipefail -c "$(declare -f inside); inside"
}

if ! unshare -m true 2>/dev/null; then
    echo "packages: may not mount here, so they were not installed"
    exit 0
fi
export -f inside
export dir folder here
unshare -m bash -euo pipefail -c "$(declare -f over_root); over_root"
echo "packages: passed"
