/* SPDX-License-Identifier: MIT */
/* hello.c - a program of somebody else's, in C. */
#include <stdio.h>
#include <string.h>
#include <weft.h>

WEFT_CHAN_TYPE(numbers, int);

static void count(void *out)
{
    for (int i = 1; i <= 3; i++)
        numbers_send(out, i);
    numbers_close(out);
}

static int run(void *arg)
{
    numbers *in = numbers_new(0);
    int i, sum = 0;

    (void)arg;
    weft_go(count, in);
    while (numbers_recv(in, &i) == 0)
        sum += i;
    numbers_free(in);
    return sum == 6 && strcmp(weft_version(), WEFT_VERSION) == 0 ? 0 : 1;
}

int main(void)
{
    int rc = weft_run(run, NULL);

    puts(rc == 0 ? "hello" : "wrong");
    return rc;
}
