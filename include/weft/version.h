/* SPDX-License-Identifier: MIT */
/* weft/version.h - the version of the headers, and that of the library.
 *
 *     static int show(void *arg)
 *     {
 *         printf("compiled with weft %s, runs on %s\n", WEFT_VERSION, weft_version());
 *         return 0;
 *     }
 *     int main(void) { return weft_run(show, NULL); }
 *
 * Versions are MAJOR.MINOR.PATCH. While MAJOR is 0 a new MINOR may change calls and types: compile
 * again. The build reads the numbers from here. */
#ifndef WEFT_VERSION_H
#define WEFT_VERSION_H

#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

/* As a text, and as a number that the preprocessor can compare: 1.2.3 is 10203. */
#define WEFT_VERSION "0.1.0"
#define WEFT_VERSION_NUMBER                                                                        \
    (WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH)

/* The WEFT_VERSION of the library that the program runs with. Any thread, also outside a run. */
WEFT_API const char *weft_version(void);

#ifdef __cplusplus
}
#endif
#endif
