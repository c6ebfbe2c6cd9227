/* SPDX-License-Identifier: MIT */
/* bare.c - a library whose code only a .debug_frame describes (test_rows.c). */
void bare_call(void (*fn)(void *), void *arg);

__attribute__((visibility("default"))) void bare_call(void (*fn)(void *), void *arg)
{
    volatile char room[200] = {1};

    fn(arg);
    room[0]++;
}
