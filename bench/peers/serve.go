// SPDX-License-Identifier: MIT

// serve.go - the Go side of serve.c: servers that say where they listen and are killed.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof" // on http.DefaultServeMux
	"runtime"
)

// serve prints its address and returns only if serving fails.
func serve(handler http.Handler) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, handler))
}

func serveHello() {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "hello, world\n")
	})
	serve(mux)
}

func serveParked100k() {
	park(100000)
	runtime.GC() // what the spawning left behind is not the dump's cost
	var ticker *gapTicker
	http.HandleFunc("/gap/start", func(http.ResponseWriter, *http.Request) {
		ticker = startGap()
	})
	http.HandleFunc("/gap/stop", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "debug2_gap %.6g ms\n", ticker.stop().Seconds()*1e3)
	})
	serve(http.DefaultServeMux)
}
