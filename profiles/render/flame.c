/* SPDX-License-Identifier: MIT */
/* flame.c - a profile as a page with its flame graph, which needs no other file and no network.
 *
 * The page has the tree as JSON, and a script of two files, flame_base.js and flame.js, which draws
 * it. Names may have any bytes. They stand in the JSON alone, where no byte of them ends a string
 * or the element around it, and the script makes text of them, never HTML. A base that the page is
 * to be compared with is the JSON of an earlier page (bases.h). Owns nothing. */
#include "profiles/render/calltree.h"

#include "profiles/render/bases.h"

#include <errno.h>
#include <stdlib.h>

/* The files as they are. The assembler looks for them from the root of the tree. */
extern const char weft__flame_script[] __attribute__((visibility("hidden")));
extern const char weft__flame_script_end[] __attribute__((visibility("hidden")));
__asm__(".pushsection .rodata\n"
        "weft__flame_script:\n"
        ".incbin \"profiles/render/flame_base.js\"\n"
        ".incbin \"profiles/render/flame.js\"\n"
        "weft__flame_script_end:\n"
        ".popsection\n");

static const char before[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>flame graph</title>\n"
    "<style>\n"
    ":root{color-scheme:light dark;--dim:#667;--line:#8884}\n"
    "body{font:14px/1.5 system-ui,sans-serif;margin:1rem}\n"
    "header{display:flex;flex-wrap:wrap;gap:.3rem 1rem;align-items:baseline;margin-bottom:.6rem}\n"
    "h1{font-size:1.2rem;margin:0}.dim{color:var(--dim)}input,select,button{font:inherit}\n"
    "#find{width:16rem}#where{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}\n"
    "#graph{display:block}\n"
    "#tip{position:fixed;max-width:40rem;padding:.4rem .6rem;border:1px solid var(--line);\n"
    "border-radius:4px;background:Canvas;color:CanvasText;box-shadow:0 2px 8px #0004;\n"
    "pointer-events:none;overflow-wrap:anywhere}\n"
    "#tip-name{font:13px/1.5 ui-monospace,monospace;font-weight:600}\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<header><h1 id=\"name\"></h1><span id=\"when\" class=\"dim\"></span>"
    "<select id=\"types\" aria-label=\"value\"></select>"
    "<input id=\"find\" type=\"search\" placeholder=\"find a function ( / )\">"
    "<span id=\"found\" class=\"dim\"></span></header>\n"
    "<header><button id=\"back\">Back</button><button id=\"out\">All</button>"
    "<span id=\"where\"></span><span id=\"value\" class=\"dim\"></span></header>\n"
    "<header><select id=\"bases\" aria-label=\"compare with\"></select>"
    "<input id=\"file\" type=\"file\" accept=\".html,.htm,.txt,.folded,.json\" hidden>"
    "<button id=\"keep\" title=\"The program keeps this profile, to compare later ones with\" "
    "hidden>Keep</button><button id=\"save\" title=\"As a file, which can be opened and compared "
    "with\">Save</button>"
    "<span id=\"compared\" hidden><label><input type=\"checkbox\" id=\"only\">changes only</label> "
    "<label><input type=\"checkbox\" id=\"scale\">as if both had the same total</label> "
    "<span id=\"from\" class=\"dim\"></span></span><span id=\"note\" class=\"dim\"></span>"
    "</header>\n"
    "<noscript><p>The graph is drawn by a script. format=folded has the same as "
    "text.</p></noscript>\n"
    "<div><canvas id=\"graph\"></canvas></div>\n"
    "<div id=\"tip\" hidden><div id=\"tip-name\"></div><div id=\"tip-value\"></div>"
    "<div id=\"tip-self\" class=\"dim\"></div></div>\n"
    "<script type=\"application/json\" id=\"data\">\n";

static void put_number(struct weft__out *o, const char *key, int64_t value)
{
    weft__out_str(o, key);
    weft__out_int(o, value);
}

static void put_head(struct weft__out *o, const struct weft__calltree *t)
{
    weft__out_str(o, "{\"name\":");
    weft__out_json(o, t->head.name ? t->head.name : "");
    put_number(o, ",\"time\":", t->head.time);
    put_number(o, ",\"duration\":", t->head.duration);
    put_number(o, ",\"cut\":", (int64_t)t->cut);
    put_number(o, ",\"shown\":", (int64_t)t->shown);
    weft__out_str(o, ",\n\"types\":[");
    for (size_t k = 0; k < t->head.n_types; k++) {
        weft__out_str(o, k > 0 ? ",[" : "[");
        weft__out_json(o, t->head.types[k].type);
        weft__out_char(o, ',');
        weft__out_json(o, t->head.types[k].unit);
        weft__out_char(o, ']');
    }
    weft__out_str(o, "],\n\"names\":[");
    for (uint32_t i = 0; i < t->n_names; i++) {
        weft__out_str(o, i > 0 ? ",\n" : "");
        weft__out_json(o, t->names[i]);
    }
    weft__out_str(o, "],\n");
}

/* Writes the calls in one list: of each the depth, the index of its name, and its values. */
static void put_calls(struct weft__out *o, const struct weft__calltree *t)
{
    uint32_t i = 0, depth = 0;

    weft__out_str(o, "\"calls\":[");
    while ((i = weft__calltree_next(t, i, &depth)) && o->rc == 0) {
        put_number(o, i == 1 ? "" : ",\n", depth);
        put_number(o, ",", t->calls[i].name);
        for (size_t k = 0; k < t->head.n_types; k++)
            put_number(o, ",", weft__call_value(t, i, k));
    }
    weft__out_str(o, "]}\n");
}

/* A text that grows, for the data of a page that is kept. */
struct text {
    char *at;
    size_t n, room;
};

static int collect(void *arg, const void *data, size_t n)
{
    struct text *x = arg;
    size_t room = x->room ? x->room : WEFT__OUT_SIZE;
    char *bigger = x->at;

    while (room < x->n + n)
        room *= 2;
    if (room > WEFT__BASE_BYTES)
        return -EFBIG;
    if (room > x->room && !(bigger = realloc(x->at, room)))
        return -ENOMEM;
    x->at = bigger;
    x->room = room;
    memcpy(x->at + x->n, data, n);
    x->n += n;
    return 0;
}

/* Keeps the data as a base. Returns its number; 0 if it is too large, or memory ran out. */
static uint32_t keep(const struct weft__calltree *t)
{
    struct text x = {0};
    struct weft__out *o = weft__out_new(&(struct weft__sink){collect, &x});
    uint32_t id = 0;

    if (!o)
        return 0;
    put_head(o, t);
    put_calls(o, t);
    if (weft__out_end(o) == 0)
        id = weft__base_keep(t->head.name, t->head.time, x.at, x.n);
    free(x.at);
    return id;
}

/* Writes the bases that the server keeps of this profile, which the page offers. */
static void put_bases(struct weft__out *o, const struct weft__calltree *t, uint32_t kept)
{
    struct weft__base_mark marks[WEFT__BASES];
    const struct weft__base *base = t->head.page->base;
    size_t n = weft__bases_of(t->head.name, marks);

    weft__out_str(o, "</script>\n<script type=\"application/json\" id=\"server\">\n{");
    put_number(o, "\"kept\":", kept);
    put_number(o, ",\"base\":", base ? base->id : 0);
    weft__out_str(o, ",\"bases\":[");
    for (size_t i = 0; i < n; i++) {
        put_number(o, i > 0 ? ",[" : "[", marks[i].id);
        put_number(o, ",", marks[i].time);
        weft__out_char(o, ']');
    }
    weft__out_str(o, "]}\n");
    if (base) {
        weft__out_str(o, "</script>\n<script type=\"application/json\" id=\"base\">\n");
        weft__out_put(o, base->text, base->n);
    }
}

void weft__flame_write(struct weft__calltree *t)
{
    const struct weft__page *page = t->head.page;
    struct weft__out *o = t->out;

    weft__out_str(o, before);
    put_head(o, t);
    put_calls(o, t);
    if (page)
        put_bases(o, t, page->keep ? keep(t) : 0);
    weft__out_str(o, "</script>\n<script type=\"module\" nonce=\"");
    weft__out_str(o, page ? page->nonce : "");
    weft__out_str(o, "\">\n");
    weft__out_put(o, weft__flame_script, (size_t)(weft__flame_script_end - weft__flame_script));
    weft__out_str(o, "</script>\n</body>\n</html>\n");
}
