#!/usr/bin/env bash
# chan_types.sh CC CXX INCLUDE - code that mixes up channel types does not compile, and other code
# does. In C++, a channel of a type that cannot be copied as bytes does not compile either.
set -euo pipefail
cc=$1 cxx=$2 include=$3 failed=0

compiles() {
    "$cc" -std=c11 -Wall -Wextra -Werror -I"$include" -fsyntax-only -x c - 2>/dev/null <<END
#include <weft.h>
struct job { int id; };
WEFT_CHAN_TYPE(jobs, struct job);
WEFT_CHAN_TYPE(ints, int);
void f(jobs *j, ints *i, struct job *job, int *v);
void f(jobs *j, ints *i, struct job *job, int *v)
{
    (void)j, (void)i, (void)job, (void)v;
    $1
}
END
}

carries() {
    "$cxx" -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only -x c++ - 2>&1 <<END
#include <memory>
#include <string>
#include <vector>
#include <weft.h>
struct job { int id; const char *name; };
struct owner { std::string name; };
struct counted { int n; counted(const counted &); };
struct closing { int fd; ~closing(); };
WEFT_CHAN_TYPE(things, $1);
int f(things *c, $1 *v);
int f(things *c, $1 *v) { return things_recv(c, v); }
END
}

carry() {
    carries "$1" >/dev/null || { echo "not carried: $1" && failed=1; }
}
carry_not() {
    [[ $(carries "$1") == *"a channel carries bytes"* ]] || { echo "carried: $1" && failed=1; }
}
accept() { compiles "$1" || { echo "does not compile: $1" && failed=1; }; }
refuse() { ! compiles "$1" || { echo "compiles: $1" && failed=1; }; }

accept 'jobs_send(j, *job);'
accept 'jobs_recv(j, job);'
accept 'ints_send(i, 1); ints_recv(i, v); ints_recv(i, NULL);'
accept 'ints_send_until(i, 1, WEFT_NOW); ints_recv_until(i, v, WEFT_NOW);'
accept 'weft_case k = weft_on_recv(jobs_raw(j), job); (void)k;'
accept 'weft_chan_send(jobs_raw(j), job);'
refuse 'jobs_send(i, *job);'
refuse 'ints_send(j, 1);'
refuse 'jobs_recv(j, v);'
refuse 'ints_recv(i, job);'
refuse 'jobs_send(j, 1);'
refuse 'ints_send(i, *job);'
refuse 'ints_send(i, v);'
refuse 'ints *k = jobs_new(1); (void)k;'
refuse 'ints_close(j);'
refuse 'ints_free(j);'
refuse 'weft_chan_send(j, job);'
refuse 'weft_on_recv(j, job);'
for type in int 'struct job' 'job *' 'std::string *' 'std::exception_ptr *'; do carry "$type"; done
for type in std::string 'std::vector<int>' 'std::shared_ptr<int>' owner counted closing; do
    carry_not "$type"
done
[[ $failed -eq 0 ]] && echo "chan types: passed"
