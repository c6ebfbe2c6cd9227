/* SPDX-License-Identifier: MIT */
/* list.h - doubly linked lists through a link in each member.
 *
 * A list is a pointer to its first link, and NULL when it is empty, so zeroed memory is an empty
 * list. A link knows the pointer that points to it: a member leaves without naming its list. The
 * caller holds the lock that guards the list. (Queues of waiters, which have two ends, are in
 * sched/park.h.) */
#ifndef WEFT_LIST_H
#define WEFT_LIST_H

#include "runtime/base/base.h"

typedef struct weft__link {
    struct weft__link *next;
    struct weft__link **at; /* the list, or the link before's next */
} weft__link;

/* Puts l, which is in no list, in front. */
static inline void weft__list_push(weft__link **list, weft__link *l)
{
    l->next = *list;
    l->at = list;
    if (l->next)
        l->next->at = &l->next;
    *list = l;
}

/* Takes l out of the list that it is in. */
static inline void weft__list_remove(weft__link *l)
{
    *l->at = l->next;
    if (l->next)
        l->next->at = l->at;
}

#endif
