/* SPDX-License-Identifier: MIT */
/* eh.h - the state of C++ exceptions, which moves with its task.
 *
 * The C++ runtime keeps for each thread the exceptions that are caught just now and the number of
 * those that unwind; `throw;`, std::current_exception and std::uncaught_exceptions go by them. A
 * task that waits in a catch block, or in a destructor while an exception unwinds, takes them out
 * of its thread and puts them into the thread that resumes it. So a thread's state is empty
 * whenever a context begins or goes on, and a task without exceptions stores nothing. */
#ifndef WEFT_EH_H
#define WEFT_EH_H

#include "runtime/base/base.h"

/* The C++ ABI's __cxa_eh_globals. */
typedef struct weft__eh {
    void *caught;
    unsigned unwinding;
} weft__eh;

void weft__eh_init(void); /* looks for a C++ runtime; before a run's threads start */
/* Returns the calling thread's state; NULL if the program has no C++ runtime. */
weft__eh *weft__eh_at(void);

/* Moves the thread's state to *mine. Returns false, and leaves *mine alone, if it is empty or
 * thread is NULL. */
static inline bool weft__eh_take(weft__eh *thread, weft__eh *mine)
{
    if (weft__likely(!thread || (!thread->caught && thread->unwinding == 0)))
        return false;
    *mine = *thread;
    *thread = (weft__eh){NULL, 0};
    return true;
}

#endif
