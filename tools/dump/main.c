/* SPDX-License-Identifier: MIT */
/* main.c - weft-dump: prints the tasks of a process or a core, without the process's help.
 *
 *     weft-dump [-d 1|2|3 | -j] PID | CORE [PROGRAM]
 *
 * -d chooses the form: 1, equal stacks together; 2 (default), Go's grammar; 3, with names, labels,
 * holders of locks and exact times. -j writes what 3 shows as JSON. PROGRAM is the program's file,
 * if it is no longer where the core says. Status 0; 1: nothing could be read; 2: usage; 3:
 * something is missing from the dump, and the last line of stderr says what. */
#include "profiles/render/output.h"
#include "tools/dump/json.h"
#include "tools/dump/names.h"
#include "tools/dump/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage(void)
{
    fputs("usage: weft-dump [-d 1|2|3 | -j] PID | CORE [PROGRAM]\n", stderr);
    return 2;
}

static int say(const char *what, const char *text, int status)
{
    fprintf(stderr, "weft-dump: %s: %s\n", what, text);
    return status;
}

static bool is_number(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

enum { JSON = 4 /* a form beside those of weft__tasks_text */ };

static int dump(struct target *t, const char *what, int form)
{
    const struct weft__sink sink = weft__sink_fd(STDOUT_FILENO);
    struct weft__snapshot s;
    struct program p;
    const char *wrong = program_open(&p, t);
    int rc;

    if (!wrong && !names_open(&p))
        wrong = "out of memory";
    if (!wrong)
        wrong = tasks_read(&s, &p, true);
    if (wrong)
        return say(what, t->broken[0] ? t->broken : wrong, 1);
    rc = form == JSON ? json_write(&s, what, t->broken, &sink) : weft__tasks_text(&s, form, &sink);
    if (rc < 0)
        return say(what, "cannot write", 1);
    return t->broken[0] ? say(what, t->broken, 3) : 0;
}

int main(int argc, char **argv)
{
    struct target t;
    int form = 2, rc, option;

    while ((option = getopt(argc, argv, "d:j")) != -1) {
        bool is_level = option == 'd' && strlen(optarg) == 1 && *optarg >= '1' && *optarg <= '3';

        if (!is_level && option != 'j')
            return usage();
        form = is_level ? *optarg - '0' : JSON;
    }
    argc -= optind;
    argv += optind;
    if (argc < 1 || argc > 2 || (is_number(argv[0]) && argc > 1))
        return usage();
    if (is_number(argv[0]))
        rc = target_live(&t, atoi(argv[0]));
    else
        rc = target_core(&t, argv[0], argc > 1 ? argv[1] : NULL);
    return rc < 0 ? say(argv[0], t.broken, 1) : dump(&t, argv[0], form);
}
