// Calls into C, which block their thread.
package main

/*
#include <unistd.h>

static void nothing(void) {}
*/
import "C"

import "time"

func tickerBlocked1000() {
	for i := 0; i < 1000; i++ {
		go func() { C.sleep(60) }()
	}
	lateness("ticker_blocked1000", tick(4*time.Second))
}

func shortCall() {
	const calls = 2000000
	start := time.Now()
	for i := 0; i < calls; i++ {
		C.nothing()
	}
	nsEach("short_call", start, calls)
}
