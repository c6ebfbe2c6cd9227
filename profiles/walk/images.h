/* SPDX-License-Identifier: MIT */
/* images.h - the loaded files, as memory shows them.
 *
 * Any thread may call in, with any lock held: no lock is taken, also none of the loader's. The
 * loader's lock would be a trap, since the thread that asks the symbolizer may hold it: dlopen's
 * inside a constructor, or dl_iterate_phdr's inside a callback. That thread would wait for the
 * symbolizer, and the symbolizer for the lock. Without the lock, dlclose may unmap a file while it
 * is looked at. So its name and build-id are copied by a system call, which fails where a read
 * would fault, and are believed if the file is still there afterwards. */
#ifndef WEFT_IMAGES_H
#define WEFT_IMAGES_H

#include <limits.h>

#include "profiles/walk/learn.h"

/* A file as it is loaded. */
struct weft__image {
    uintptr_t start, end;
    const char *file; /* its name */
    const void *id;   /* where its build-id is in memory; NULL if it has none */
    char build_id[WEFT__BUILD_ID_SIZE];
    bool has_rows; /* its rows were made, or cannot be; set by filerules.c */
};

/* Finds the file that is loaded at addr, and copies its name to name. Returns false if there is
 * none. */
bool weft__image_at(struct weft__image *im, char name[PATH_MAX], uintptr_t addr);
/* Returns whether the file is still loaded, as far as its address and build-id (or name) tell. */
bool weft__image_is_there(const struct weft__image *im);
/* Returns whether a file must be taken for gone after something was unloaded. A file without a
 * build-id must: another one of the same name may be there. */
bool weft__image_is_gone(const struct weft__image *im);

/* modules.c, symbolizer thread. Returns the file that is loaded at addr, which is from now on in
 * the list of those whose rules are forgotten with them; NULL if there is none, or if memory ran
 * out. It is valid until a file is forgotten. */
struct weft__image *weft__module_image(uintptr_t addr);

#endif
