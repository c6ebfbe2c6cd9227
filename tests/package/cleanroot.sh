#!/usr/bin/env bash
# cleanroot.sh [TEST] - the README's ways in, each on a Debian that has nothing but what debootstrap
# puts there: the demo; the tests, or those with TEST in their name; the packages, made in one root
# and installed in another. Leaves out/cleanroot/bare for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
roots=$PWD/out/cleanroot
mkdir -p "$roots"

say() { printf '\n== clean root: %s\n' "$*"; }

mirror() {
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 == "bookworm" && !found++ { print $1 }'
}

bootstrap() {
    [[ ! -e $roots/bare ]] || return 0
    say "debootstrap"
    rm -rf "$roots/half"
    debootstrap --variant=minbase bookworm "$roots/half" "$(mirror)" >"$roots/debootstrap.log" || {
        tail -n 20 "$roots/debootstrap.log"
        return 1
    }
    mv "$roots/half" "$roots/bare"
}

# fresh NAME: a root of this name, which reaches the archive as this machine does.
fresh() {
    rm -rf "${roots:?}/$1"
    cp -a "$roots/bare" "$roots/$1"
    cp -L /etc/resolv.conf "$roots/$1/etc/"
    cp /etc/apt/apt.conf.d/* "$roots/$1/etc/apt/apt.conf.d/"
}

# within NAME COMMAND: runs it there, in namespaces of its own, so that no process and no mount is left.
within() {
    unshare -m -p -f bash -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        mount --rbind /sys "$1/sys"
        exec chroot "$1" bash -euo pipefail -c "$2"' within "$roots/$1" "cd /root; $2"
}

bootstrap
fresh build
git archive --prefix=root/weft/ HEAD | tar -x -C "$roots/build"
say "./run demo"
within build 'cd weft; ./run demo --once'
say "./run test ${1:-}"
within build "cd weft; ./run test ${1:-}"
say "./run package"
within build 'cd weft; ./run package'

fresh user
mkdir "$roots/user/packages"
cp "$roots"/build/root/weft/out/packages/*.deb "$roots/user/packages/"
cp -r tests/package/consumer "$roots/user/root/"
say "the packages, with a compiler and nothing else"
within user '
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    apt-get install -qy --no-install-recommends g++ pkg-config /packages/*.deb >/dev/null
    cc consumer/hello.c $(pkg-config --cflags --libs weft) -o hello_c
    c++ -std=c++17 consumer/hello.cc $(pkg-config --cflags --libs weft) -o hello_cxx
    ./hello_c
    ./hello_cxx
    apt-get install -qy --no-install-recommends cmake make >/dev/null
    cmake -S consumer -B build >/dev/null
    cmake --build build >/dev/null
    build/hello_c
    apt-get purge -qy libweft0 libweft-dev weft-tools >/dev/null
    [[ -z $(find / -xdev -name "*libweft*" ! -path "/packages/*" ! -path "/var/cache/*" ! -path "/root/*") ]]'
rm -rf "$roots/build" "$roots/user"
say "passed"
