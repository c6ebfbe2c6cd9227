/* SPDX-License-Identifier: MIT */
/* images.c - see images.h. Owns nothing. */
#include "profiles/walk/images.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* Copies the file name of a module; the main program's is empty in the loader's list. Writes "" if
 * it cannot be read. */
static void read_name(char name[PATH_MAX], const struct link_map *map)
{
    const char *at = NULL;
    ssize_t n;

    name[0] = '\0';
    if (weft__peek(&at, &map->l_name, sizeof at))
        weft__peek_string(name, at, PATH_MAX);
    if (name[0] != '\0')
        return;
    n = readlink("/proc/self/exe", name, PATH_MAX - 1);
    name[n > 0 ? n : 0] = '\0';
}

bool weft__image_at(struct weft__image *im, char name[PATH_MAX], uintptr_t addr)
{
    struct dl_find_object o, after;

    do {
        if (_dl_find_object((void *)addr, &o) != 0)
            return false;
        im->start = (uintptr_t)o.dlfo_map_start;
        im->end = (uintptr_t)o.dlfo_map_end;
        im->file = name;
        im->has_rows = false;
        read_name(name, o.dlfo_link_map);
        im->id = weft__build_id(im->build_id, o.dlfo_map_start);
    } while (_dl_find_object((void *)addr, &after) != 0 || after.dlfo_link_map != o.dlfo_link_map ||
             after.dlfo_map_start != o.dlfo_map_start || after.dlfo_map_end != o.dlfo_map_end);
    return true;
}

static bool has_its_id(const struct weft__image *im)
{
    size_t n = strlen(im->build_id) / 2;
    unsigned char id[WEFT__BUILD_ID_SIZE / 2];
    char hex[WEFT__BUILD_ID_SIZE];

    if (!weft__peek(id, im->id, n))
        return false;
    weft__hex(hex, id, n);
    return strcmp(hex, im->build_id) == 0;
}

static bool has_its_name(const struct weft__image *im, const struct link_map *map)
{
    char name[PATH_MAX];

    read_name(name, map);
    return strcmp(name, im->file) == 0;
}

bool weft__image_is_there(const struct weft__image *im)
{
    struct dl_find_object o;

    return _dl_find_object((void *)im->start, &o) == 0 &&
           (uintptr_t)o.dlfo_map_start == im->start && (uintptr_t)o.dlfo_map_end == im->end &&
           (im->id != NULL ? has_its_id(im) : has_its_name(im, o.dlfo_link_map));
}

bool weft__image_is_gone(const struct weft__image *im)
{
    return im->id == NULL || !weft__image_is_there(im);
}
