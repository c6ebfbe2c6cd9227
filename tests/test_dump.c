/* SPDX-License-Identifier: MIT */
/* test_dump.c - weft_dump as a program sees it. */
#include "check.h"

#include <weft.h>

#include <fcntl.h>
#include <unistd.h>

static int dump_often(void *arg)
{
    int fd = *(int *)arg, rc = 0;

    for (int i = 0; i < 50 && rc == 0; i++)
        rc = weft_dump(fd, &(weft_dump_options){.form = WEFT_DUMP_MERGED});
    return rc;
}

/* Those that come during a capture share it, however late they get to run after it. */
TEST(dumps_at_once_all_succeed)
{
    weft_group g = WEFT_GROUP_INIT;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    for (int i = 0; i < 16; i++)
        weft_group_go(&g, dump_often, &fd);
    CHECK_EQ(weft_group_wait(&g), 0);
    close(fd);
}

TEST_PLAIN(dump_outside_a_run_is_einval)
{
    CHECK_EQ(weft_dump(STDERR_FILENO, NULL), WEFT_EINVAL);
}
