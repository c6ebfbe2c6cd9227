/* SPDX-License-Identifier: MIT */
/* report.h - attaches the report of the process's end to the runtime. weft_run's thread does so,
 * once, before the first run. */
#ifndef WEFT_REPORT_H
#define WEFT_REPORT_H

/* Makes report.c the runtime's reporter (runtime/sched/observe.h). Called once, before the first
 * run. */
void weft__report_attach(void);

#endif
