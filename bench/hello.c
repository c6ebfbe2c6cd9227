/* SPDX-License-Identifier: MIT */
/* hello.c - the least program on weft, for start.py: a task says hello. */
#include "bench/hello.h"

#include <weft.h>

static int hello(void *arg)
{
    (void)arg;
    return puts("hello") < 0;
}

int main(void)
{
    return weft_run(hello, NULL) || say_most();
}
