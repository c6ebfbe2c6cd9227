/* SPDX-License-Identifier: MIT */
/* screen.c - see screen.h. Owns the terminal, by curses.
 *
 * The cursor and the open stack stay with their rows, not with their lines: a refresh may put the
 * rows into another order. */
#include "tools/top/screen.h"

#include <curses.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP "q quit  tab locks/tasks  s sort  / filter  enter stack  d dump  p pause"

static const char *const titles[TABS][SORTS] = {
    [TAB_TASKS] = {"TASKS", "LONGEST", "+/-/s"},
    [TAB_LOCKS] = {"WAITS", "WAITED", "NOW/s"},
};

void screen_open(struct screen *s)
{
    setlocale(LC_ALL, "");
    set_escdelay(25);
    initscr();
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    timeout(100);
    s->sort = SORT_COUNT;
}

void screen_close(void)
{
    endwin();
}

/* Rows ----------------------------------------------------------------------------------------- */

static double weight(const struct row *r, enum sort by)
{
    double rate = r->rate < 0 ? -r->rate : r->rate;

    return by == SORT_COUNT ? r->count : by == SORT_WAIT ? r->wait : rate;
}

static enum sort sorted_by; /* qsort passes no argument */

static int compare(const void *a, const void *b)
{
    const struct row *const *x = a, *const *y = b;
    double wx = weight(*x, sorted_by), wy = weight(*y, sorted_by);

    if (wx != wy)
        return wx < wy ? 1 : -1;
    return ((*x)->key > (*y)->key) - ((*x)->key < (*y)->key);
}

static bool passes(const struct screen *s, const struct row *r)
{
    return !s->filter[0] || strstr(r->reason, s->filter) || strstr(r->stack, s->filter);
}

/* Makes the list of rows. The cursor goes to the first if its row is gone. */
static void choose_rows(struct screen *s, const struct view *v)
{
    size_t n = v->n[s->tab];
    bool found = false;

    free(s->shown);
    s->shown = calloc(n + 1, sizeof(*s->shown));
    s->n_shown = 0;
    for (size_t i = 0; s->shown && i < n; i++) {
        if (passes(s, &v->rows[s->tab][i]))
            s->shown[s->n_shown++] = &v->rows[s->tab][i];
    }
    sorted_by = s->sort;
    qsort(s->shown, s->n_shown, sizeof(struct row *), compare);
    for (size_t i = 0; i < s->n_shown; i++)
        found |= s->shown[i]->key == s->chosen;
    if (!found)
        s->chosen = s->n_shown ? s->shown[0]->key : 0;
}

static size_t cursor_of(const struct screen *s)
{
    for (size_t i = 0; i < s->n_shown; i++) {
        if (s->shown[i]->key == s->chosen)
            return i;
    }
    return 0;
}

/* Text ----------------------------------------------------------------------------------------- */

/* Writes a duration in at most eight characters. */
static const char *duration(char to[16], double ns)
{
    static const struct {
        double size;
        const char *unit;
    } units[] = {{3600e9, "h"}, {60e9, "m"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};

    snprintf(to, 16, "%.0fns", ns);
    if (ns < 1)
        strcpy(to, "-");
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (ns >= units[i].size) {
            snprintf(to, 16, "%.1f%s", ns / units[i].size, units[i].unit);
            break;
        }
    }
    return to;
}

static const char *rate_text(char to[16], const struct screen *s, const struct row *r)
{
    if (s->tab == TAB_LOCKS)
        return duration(to, r->rate);
    snprintf(to, 16, r->rate != 0 ? "%+.1f" : "-", r->rate);
    return to;
}

static void put_line(int y, const char *text)
{
    mvaddnstr(y, 0, text, COLS);
    clrtoeol();
}

static void put_row(int y, const struct screen *s, const struct row *r)
{
    char line[512], wait[16], rate[16];

    snprintf(line, sizeof(line), "%9.0f %9s %9s  %-26.26s %s", r->count, duration(wait, r->wait),
             rate_text(rate, s, r), r->reason, r->function);
    if (r->key == s->chosen)
        attron(A_REVERSE);
    put_line(y, line);
    attroff(A_REVERSE);
}

/* Writes the lines of a stack, as far as there is room. Returns the next line. */
static int put_stack(int y, const char *stack)
{
    char line[512];

    while (*stack && y < LINES - 1) {
        size_t n = strcspn(stack, "\n");

        snprintf(line, sizeof(line), "          | %.*s", (int)n, stack);
        put_line(y++, line);
        stack += n + (stack[n] == '\n');
    }
    return y;
}

static void put_head(const struct screen *s, const struct view *v)
{
    char line[512], *end = line;
    enum tab tab = s->tab;

    snprintf(line, sizeof(line), "weft-top %s  %s%s", s->addr, v->head,
             s->paused ? "  PAUSED" : "");
    put_line(0, line);
    attron(A_BOLD);
    for (enum sort by = 0; by < SORTS; by++)
        end += sprintf(end, "%s%8s%c", by ? " " : "", titles[tab][by], by == s->sort ? '*' : ' ');
    snprintf(end, 128, "  %-26s %s", tab == TAB_TASKS ? "STATE" : "LOCK HELD FROM", "FUNCTION");
    put_line(1, line);
    attroff(A_BOLD);
}

static void put_foot(const struct screen *s, const struct view *v)
{
    char line[512];

    if (s->asking)
        snprintf(line, sizeof(line), "filter: %s_", s->filter);
    else if (v->error[0])
        snprintf(line, sizeof(line), "! %s", v->error);
    else if (s->message[0])
        snprintf(line, sizeof(line), "%s", s->message);
    else
        snprintf(line, sizeof(line), HELP "%s%s", s->filter[0] ? "  filter: " : "", s->filter);
    put_line(LINES - 1, line);
}

void screen_draw(struct screen *s, const struct view *v)
{
    size_t room = LINES > 4 ? (size_t)LINES - 4 : 1, cursor;
    int y = 2;

    choose_rows(s, v);
    cursor = cursor_of(s);
    if (cursor < s->top)
        s->top = cursor;
    if (cursor > s->top + room)
        s->top = cursor - room;
    put_head(s, v);
    for (size_t i = s->top; i < s->n_shown && y < LINES - 1; i++) {
        put_row(y++, s, s->shown[i]);
        if (s->shown[i]->key == s->open)
            y = put_stack(y, s->shown[i]->stack);
    }
    while (y < LINES - 1)
        put_line(y++, "");
    put_foot(s, v);
    refresh();
}

/* Keys ----------------------------------------------------------------------------------------- */

static void ask(struct screen *s, int key)
{
    size_t n = strlen(s->filter);

    if (key == '\n' || key == KEY_ENTER) {
        s->asking = false;
    } else if (key == 27) {
        s->filter[0] = '\0';
        s->asking = false;
    } else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && n > 0) {
        s->filter[n - 1] = '\0';
    } else if (key >= ' ' && key < 127 && n + 1 < sizeof(s->filter)) {
        s->filter[n] = (char)key;
        s->filter[n + 1] = '\0';
    }
}

static void move_cursor(struct screen *s, long by)
{
    long at = (long)cursor_of(s) + by, last = (long)s->n_shown - 1;

    at = at > last ? last : at;
    if (s->n_shown > 0)
        s->chosen = s->shown[at < 0 ? 0 : at]->key;
}

static void switch_tab(struct screen *s)
{
    s->tab = s->tab == TAB_TASKS ? TAB_LOCKS : TAB_TASKS;
    s->sort = s->tab == TAB_TASKS ? SORT_COUNT : SORT_RATE;
    s->chosen = s->open = 0;
    s->top = 0;
}

enum wish screen_key(struct screen *s, int key)
{
    s->message[0] = '\0';
    if (s->asking) {
        ask(s, key);
        return WISH_NOTHING;
    }
    switch (key) {
    case 'q':
        return WISH_QUIT;
    case 'd':
        return WISH_DUMP;
    case 'r':
        return WISH_NOW;
    case '\t':
        switch_tab(s);
        break;
    case 's':
        s->sort = (s->sort + 1) % SORTS;
        break;
    case '/':
        s->asking = true;
        break;
    case 'p':
        s->paused = !s->paused;
        break;
    case '\n':
    case KEY_ENTER:
        s->open = s->open == s->chosen ? 0 : s->chosen;
        break;
    case KEY_DOWN:
    case 'j':
        move_cursor(s, 1);
        break;
    case KEY_UP:
    case 'k':
        move_cursor(s, -1);
        break;
    case KEY_NPAGE:
        move_cursor(s, LINES - 4);
        break;
    case KEY_PPAGE:
        move_cursor(s, 4 - LINES);
        break;
    default:
        break;
    }
    return WISH_NOTHING;
}
