/* SPDX-License-Identifier: MIT */
/* eh.h - the state of C++ exceptions, which moves with its task between threads.
 *
 * The C++ runtime keeps two things for each thread: the exceptions that are caught at the moment,
 * and the number of exceptions that unwind. `throw;`, std::current_exception and
 * std::uncaught_exceptions rely on them. A task may wait in a catch block, or in a destructor while
 * an exception unwinds. Then it takes both out of its thread, and puts them into the thread that
 * resumes it.
 *
 * Always: a thread's state is empty when a context begins or continues on it. So a task without
 * exceptions stores nothing and pays for two loads. Only the thread itself touches its state:
 * switch.c calls weft__eh_take on the way out of a task, and stores the state back on the way
 * in. */
#ifndef WEFT_EH_H
#define WEFT_EH_H

#include "runtime/base/base.h"

/* The C++ ABI's __cxa_eh_globals. */
typedef struct weft__eh {
    void *caught;
    unsigned unwinding;
} weft__eh;

/* Looks for a C++ runtime in the program. Called at the start of each run, before its threads. */
void weft__eh_init(void);
/* Returns the calling thread's state, which stays at this address as long as the thread lives; NULL
 * if the program has no C++ runtime. */
weft__eh *weft__eh_at(void);

/* Moves the thread's state to *mine and returns true. Returns false, and leaves *mine alone, if the
 * state is empty or thread is NULL. */
static inline bool weft__eh_take(weft__eh *thread, weft__eh *mine)
{
    if (weft__likely(!thread || (!thread->caught && thread->unwinding == 0)))
        return false;
    *mine = *thread;
    *thread = (weft__eh){NULL, 0};
    return true;
}

#endif
