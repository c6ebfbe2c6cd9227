/* SPDX-License-Identifier: MIT */
/* index.h - the work of the program (index.c), for its main (main.c). */
#ifndef EXAMPLES_INDEX_H
#define EXAMPLES_INDEX_H

#include "table.h"

/* Slow on purpose: each task of the program takes mu, and parsers take it for every line. */
extern struct stats {
    weft_mutex mu; /* guards sum */
    struct counts {
        size_t tasks;        /* walkers and readers alive */
        size_t folders;      /* walked */
        size_t files, bytes; /* of text, read */
        size_t other;        /* files that are not text */
        size_t unreadable;   /* files and folders */
        size_t lines, words; /* parsed */
    } sum;
} stats;

/* Complete once index_all returned. */
extern struct table words, licence_lines;

extern bool verbose, on_terminal;

/* Indexes the folders, whose list ends with NULL. Calls all_found when every folder has been walked
 * and most files still wait to be read. Returns 0 or WEFT_ECANCELED. */
int index_all(char **folders, void (*all_found)(void));

#endif
