/* SPDX-License-Identifier: MIT */
/* check.h - checks of the runtime's own rules. A check that fails is a bug of weft, and ends the
 * program. Any thread may check anything at any time. */
#ifndef WEFT_CHECK_H
#define WEFT_CHECK_H

#include "runtime/base/base.h"

/* Reports a bug of weft itself: the expression `what` was false. death.c */
void weft__assert_failed(const char *what, const char *file, int line) WEFT__NORETURN;

/* Two strengths of checks. weft__assert is cheap enough to stay in releases (WEFT_CHECK=1).
 * weft__check may cost more and runs in the test builds only (WEFT_CHECK=2). */
#if WEFT_CHECK >= 1
#define weft__assert(x) (weft__likely(x) ? (void)0 : weft__assert_failed(#x, __FILE__, __LINE__))
#else
#define weft__assert(x) ((void)sizeof(!(x))) /* reads nothing, and the compiler sees a use */
#endif
#if WEFT_CHECK >= 2
#define weft__check(x) weft__assert(x)
#else
#define weft__check(x) ((void)0)
#endif

#endif
