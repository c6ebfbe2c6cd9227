/* SPDX-License-Identifier: MIT */
/* weft.h - everything. */
#ifndef WEFT_H
#define WEFT_H
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/dump.h>
#include <weft/embed.h>
#include <weft/error.h>
#include <weft/expvar.h>
#include <weft/fd.h>
#include <weft/flight.h>
#include <weft/http.h>
#include <weft/label.h>
#include <weft/log.h>
#include <weft/net.h>
#include <weft/profile.h>
#include <weft/select.h>
#include <weft/signal.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>
#include <weft/trace.h>
#include <weft/version.h>
#endif
