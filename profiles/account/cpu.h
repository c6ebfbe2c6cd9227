/* SPDX-License-Identifier: MIT */
/* account/cpu.h - the profile of CPU time. */
#ifndef WEFT_ACCOUNT_CPU_H
#define WEFT_ACCOUNT_CPU_H

void weft__cpu_attach(void); /* adds its event sink; called once, before the first run */

#endif
