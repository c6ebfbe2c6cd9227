/* SPDX-License-Identifier: MIT */
/* texts.h - the texts that a program gives a trace, each once, by number.
 *
 * Any thread may intern, inside the scheduler; it takes a lock of rank LEAF for a moment, and calls
 * malloc. Reading takes no lock. */
#ifndef WEFT_TRACE_TEXTS_H
#define WEFT_TRACE_TEXTS_H

#include <stdint.h>

enum { WEFT__TEXT_MOST = 1023, WEFT__TEXTS_MOST = 65536 };

/* Returns the number of a text; 0 for NULL and the empty one. */
uint32_t weft__text_intern(const char *s);
/* Returns a number's text, "" for 0. It stays until the tape is closed. */
const char *weft__text(uint32_t id);
uint32_t weft__texts_count(void);
/* Forgets all, while no thread writes or reads. */
void weft__texts_clear(void);

#endif
