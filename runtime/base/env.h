/* SPDX-License-Identifier: MIT */
/* env.h - reads the WEFT_ variables of the environment.
 *
 * A variable holds a word of a list, a number, or, such as a file's name, any text. An empty
 * variable counts as unset. A value that the variable does not know counts as unset, too, after a
 * line on stderr that names the known values: a misspelt setting should neither stop a program nor
 * go unnoticed. A process writes that line once for each variable.
 *
 * Any thread may call, under any lock below rank LEAF, also while it ends the program. */
#ifndef WEFT_ENV_H
#define WEFT_ENV_H

#include <stdbool.h>
#include <stdint.h>

/* Returns the variable's value, which the environment owns; NULL if it is unset or empty. */
const char *weft__env_text(const char *name);

/* Returns the index of the variable's value in words, which end with NULL; otherwise if it is unset
 * or not one of them. */
int weft__env_word(const char *name, const char *const *words, int otherwise);

/* Returns the variable's value if it is a decimal number from least to most; otherwise if it is
 * unset or no such number. */
int64_t weft__env_number(const char *name, int64_t least, int64_t most, int64_t otherwise);

/* Returns whether the variable, which knows 0 and 1, is set to 0. */
bool weft__env_off(const char *name);

#endif
