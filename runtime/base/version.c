/* SPDX-License-Identifier: MIT */
/* version.c - the version that the library was compiled from. */
#include <weft/version.h>

#define TEXT(x)                     #x
#define DOTTED(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)
_Static_assert(__builtin_strcmp(WEFT_VERSION, DOTTED(WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR,
                                                     WEFT_VERSION_PATCH)) == 0,
               "the text and the numbers of weft/version.h are one version");

const char *weft_version(void)
{
    return WEFT_VERSION;
}
