/* SPDX-License-Identifier: MIT */
/* labels.c - see labels.h. Owns nothing. */
#include "profiles/render/labels.h"

#include <string.h>

void weft__labels_put(struct weft__out *o, const weft__tags *set)
{
    if (!set)
        return;
    for (uint32_t i = 0; i < set->n; i++) {
        weft__out_str(o, i ? ", " : "# labels: {");
        weft__out_quoted(o, set->labels[i].key);
        weft__out_char(o, ':');
        weft__out_quoted(o, set->labels[i].value);
    }
    weft__out_str(o, "}\n");
}

static bool is_taken(const struct weft__pprof_label *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].key, key) == 0)
            return true;
    }
    return false;
}

size_t weft__labels_add(struct weft__pprof_label *list, size_t n, const weft__tags *set)
{
    size_t had = n;

    for (uint32_t i = 0; set && i < set->n; i++) {
        const weft_label *l = &set->labels[i];

        if (!is_taken(list, had, l->key))
            list[n++] = (struct weft__pprof_label){.key = l->key, .str = l->value};
    }
    return n;
}
