/* SPDX-License-Identifier: MIT */
/* debug/page.c - the page /debug/pprof/: the tasks by state, and the profiles with their counts.
 *
 * Owns no state. mount.c calls weft__debug_page for a request that was let in, on the task of its
 * connection.
 *
 * The title and "Types of profiles available" are Go's, since scanners look for them. The page has
 * no scripts and loads nothing from elsewhere: it must work on a machine without a network. Links
 * are relative, so the page works below any prefix. */
#include "http/debug/debug.h"

#include "http/wire/path.h"

#include "profiles/account/profile.h"
#include "runtime/base/utf8.h"
#include "runtime/sched/scheduler.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>/debug/pprof/</title>\n"
    "<style>\n"
    ":root{color-scheme:light dark;--dim:#667;--line:#8884;--mark:#2a7ae2}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}\n"
    "p{margin:.3rem 0}.dim{color:var(--dim)}a{color:var(--mark)}\n"
    "code{font:13px/1.5 ui-monospace,monospace}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "td,th{padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:top}\n"
    "th{font-weight:600;color:var(--dim)}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums;width:5rem}\n"
    ".f{white-space:nowrap}\n"
    ".bar{display:inline-block;height:.6rem;background:var(--mark);border-radius:2px}\n"
    "pre{background:#8881;padding:.8rem;overflow-x:auto;border-radius:4px}\n"
    "</style>\n"
    "</head>\n"
    "<body>\n";

/* Puts text that may stand between tags or in double quotes. Bytes that are not UTF-8 become
 * U+FFFD. */
static void put_text(weft_http_response *w, const char *s)
{
    for (size_t n; *s; s += n ? n : 1) {
        n = weft__utf8_length(s);
        switch (*s) {
        case '<':
            weft_http_write(w, "&lt;", 4);
            break;
        case '>':
            weft_http_write(w, "&gt;", 4);
            break;
        case '&':
            weft_http_write(w, "&amp;", 5);
            break;
        case '"':
            weft_http_write(w, "&quot;", 6);
            break;
        default:
            weft_http_write(w, n ? s : WEFT__UTF8_INSTEAD, n ? n : 3);
        }
    }
}

/* Puts a path in the form for a link in single quotes. */
static void put_path(weft_http_response *w, const char *s)
{
    static const char other[] = "%'!#$&*+^`|"; /* tokens with a meaning in a URL or in quotes */

    for (; *s; s++) {
        if (*s == '/' || (weft__is_token((unsigned char)*s) && !strchr(other, *s)))
            weft_http_write(w, s, 1);
        else
            weft_http_printf(w, "%%%02X", (unsigned char)*s);
    }
}

/* Puts the heading: the program's name and its process. */
static void put_program(weft_http_response *w)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[n > 0 ? n : 0] = 0;
    weft_http_printf(w, "<h1>");
    put_text(w, strrchr(path, '/') ? strrchr(path, '/') + 1 : "weft");
    weft_http_printf(
        w,
        "</h1>\n<p class=\"dim\">process %d, %d processors, %u threads; "
        "<a href=\"cmdline\">command line</a>, <a href=\"../vars\">variables</a></p>\n",
        (int)getpid(), weft__load(&weft__sched.active), weft__load(&weft__sched.nthreads));
}

/* Puts a row of the table of states: the number of tasks in a state, its name and explanation. */
static void put_state(weft_http_response *w, const char *name, const char *what, uint32_t n,
                      uint32_t all)
{
    weft_http_printf(w,
                     "<tr><td class=\"n\">%u</td><td>%s</td><td style=\"width:30%%\">"
                     "<span class=\"bar\" style=\"width:%u%%\"></span></td>"
                     "<td class=\"dim\">%s</td></tr>\n",
                     n, name, all ? (uint32_t)((uint64_t)n * 100 / all) : 0, what);
}

/* Puts the table of states. The states are counted without stopping any task, so a task that moves
 * may be counted twice or not at all. */
static void put_states(weft_http_response *w)
{
    struct weft__census c;
    const uint32_t *s = c.states;
    uint32_t all;

    weft__tasks_count(&c);
    all = s[WEFT__RUNNABLE] + s[WEFT__RUNNING] + s[WEFT__PARKED] + s[WEFT__LOST];
    weft_http_printf(w, "<h2>%u tasks</h2>\n<table>\n", all);
    put_state(w, "waiting", "for a channel, a lock, the network or time", s[WEFT__PARKED], all);
    put_state(w, "runnable", "waiting for a processor", s[WEFT__RUNNABLE] - c.hog_lane, all);
    put_state(w, "running", "on a processor", s[WEFT__RUNNING], all);
    put_state(w, "in a call or a loop", "for so long that other tasks got the processor",
              s[WEFT__LOST], all);
    put_state(w, "in the hog lane", "used much CPU, and now run in turns", c.hog_lane, all);
    weft_http_printf(w, "</table>\n"
                        "<p>All stacks: <a href=\"goroutine?debug=1\">merged</a>, "
                        "<a href=\"goroutine?debug=2\">full goroutine stack dump</a>, "
                        "<a href=\"goroutine?debug=3\">with names, lock owners and times</a>, "
                        "<a href=\"goroutine\">for go tool pprof</a></p>\n");
}

/* Puts the cell that links a profile's flame graph. A profile that shows a time only is asked for 5
 * seconds, rather than for its usual time. p: NULL for an empty cell. */
static void put_flame(weft_http_response *w, const struct weft__profile *p)
{
    weft_http_printf(w, "<td class=\"f\">");
    if (p) {
        weft_http_printf(w, "<a href='");
        put_path(w, p->name);
        weft_http_printf(w, p->take ? "?format=html'>flame graph</a>"
                                    : "?format=html&amp;seconds=5'>flame graph, 5 s</a>");
    }
    weft_http_printf(w, "</td></tr>\n");
}

/* Puts a row of the table of profiles. state: a line about its source, or "". p: NULL if it is no
 * profile. */
static void put_row(weft_http_response *w, int count, const char *name, const char *about,
                    const char *state, const struct weft__profile *p)
{
    weft_http_printf(w, "<tr><td class=\"n\">%d</td><td><a href='", count);
    put_path(w, name);
    weft_http_printf(w, "?debug=1'>");
    put_text(w, name);
    weft_http_printf(w, "</a></td><td>");
    put_text(w, about);
    weft_http_printf(w, *state ? " <span class=\"dim\">" : "");
    put_text(w, state);
    weft_http_printf(w, *state ? "</span></td>" : "</td>");
    put_flame(w, p);
}

static void put_profiles(weft_http_response *w)
{
    const struct weft__profile *p = NULL;
    char state[256];

    weft_http_printf(w,
                     "<h2>Types of profiles available:</h2>\n<table>\n"
                     "<thead><tr><th class=\"n\">Count</th><th>Profile</th><th></th><th></th></tr>"
                     "</thead>\n");
    while ((p = weft__profile_next(p)) != NULL) {
        state[0] = 0;
        if (p->state)
            p->state(state, sizeof(state));
        put_row(w, p->count ? p->count(p) : 0, p->name, p->about, state, p);
    }
    put_row(w, 0, "cmdline", "The command line of the program.", "", NULL);
    put_row(w, 0, "symbol", "The names of the addresses in the query or in the body of a POST.", "",
            NULL);
    put_row(w, 0, "trace",
            "When each task ran, which one woke it and how long it waited, for go tool trace. "
            "seconds says for how long; format=2 is for Go 1.23 and later.",
            "", NULL);
    weft_http_printf(w, "</table>\n");
}

/* Puts commands that the reader can copy into a terminal. The host is the one of the request, as it
 * is known to work. */
static void put_hints(weft_http_response *w, const weft_http_request *r)
{
    weft_http_printf(w, "<h2>From a terminal</h2>\n<pre><code>curl 'http://");
    put_text(w, weft_http_host(r));
    weft_http_printf(w, "/debug/pprof/goroutine?debug=2' | panicparse\ngo tool pprof -top http://");
    put_text(w, weft_http_host(r));
    weft_http_printf(w, "/debug/pprof/goroutine</code></pre>\n</body>\n</html>\n");
}

void weft__debug_page(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    (void)d;
    weft__answer_page_head(w, NULL);
    if (!weft_http_wants_body(w))
        return;
    weft_http_write(w, head, sizeof(head) - 1);
    put_program(w);
    put_states(w);
    put_profiles(w);
    put_hints(w, r);
}
