// SPDX-License-Identifier: MIT

// trace.go - writes an execution trace of Go's own, of tasks that wait in several ways.
//
// golden/trace_goVERSION was written so: go build -trimpath trace.go; GOMAXPROCS=2 ./trace FILE
package main

import (
	"context"
	"net"
	"os"
	"runtime/trace"
	"sync"
	"syscall"
	"time"
)

func pingPong(done *sync.WaitGroup) {
	there, back := make(chan int), make(chan int)
	go func() {
		for n := range there {
			back <- n
		}
		close(back)
	}()
	for i := 0; i < 100; i++ {
		there <- i
		select {
		case <-back:
		case <-time.After(time.Minute):
		}
	}
	close(there)
	done.Done()
}

func contend(lock *sync.Mutex, turn *sync.Cond, done *sync.WaitGroup) {
	for i := 0; i < 20; i++ {
		lock.Lock()
		time.Sleep(10 * time.Microsecond)
		turn.Broadcast()
		lock.Unlock()
	}
	done.Done()
}

func call(done *sync.WaitGroup) {
	for i := 0; i < 10; i++ {
		wait := syscall.NsecToTimespec(int64(time.Millisecond))
		syscall.Nanosleep(&wait, nil)
	}
	done.Done()
}

func network(done *sync.WaitGroup) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		conn, _ := listener.Accept()
		time.Sleep(time.Millisecond)
		conn.Write([]byte("x"))
		conn.Close()
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	conn.Read(make([]byte, 2))
	done.Done()
}

func annotate(done *sync.WaitGroup) {
	ctx, task := trace.NewTask(context.Background(), "request")
	trace.WithRegion(ctx, "outer", func() {
		trace.Log(ctx, "key", "value")
		trace.WithRegion(ctx, "inner", func() {})
	})
	task.End()
	done.Done()
}

func main() {
	file, err := os.Create(os.Args[1])
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	var done sync.WaitGroup
	turn := sync.NewCond(&lock)
	go func() { // waits while the trace begins
		lock.Lock()
		turn.Wait()
		lock.Unlock()
	}()
	time.Sleep(time.Millisecond)
	if err := trace.Start(file); err != nil {
		panic(err)
	}
	done.Add(6)
	go pingPong(&done)
	go contend(&lock, turn, &done)
	go contend(&lock, turn, &done)
	go call(&done)
	go network(&done)
	go annotate(&done)
	done.Wait()
	trace.Stop()
	file.Close()
}
