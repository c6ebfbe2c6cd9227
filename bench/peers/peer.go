// SPDX-License-Identifier: MIT

// peer.go - the Go side of the bench: the same work as bench/*.c, case by case.
//
//	peer CASE    runs the case at GOMAXPROCS and prints "name value unit" lines; those of
//	             serve.go print where they listen, and serve until they are killed
//
// The rates of its profiles are BENCH_BLOCK_RATE and BENCH_MUTEX_RATE, or else off; with BENCH_TRACE a
// trace is written to /dev/null.
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func result(name string, value float64, unit string) {
	fmt.Printf("%s %.6g %s\n", name, value, unit)
}

func nsEach(name string, start time.Time, ops int) {
	result(name, float64(time.Since(start).Nanoseconds())/float64(ops), "ns")
}

// lateness prints the distribution of times in nanoseconds.
func lateness(name string, late []int64) {
	if len(late) == 0 {
		late = []int64{0}
	}
	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	result(name+"_p50", float64(late[len(late)/2])/1e6, "ms")
	result(name+"_p99", float64(late[len(late)*99/100])/1e6, "ms")
	result(name+"_worst", float64(late[len(late)-1])/1e6, "ms")
}

// ---- switch ----

func yielders(name string, tasks, each int) {
	var started, done sync.WaitGroup
	var begin = make(chan bool)
	started.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			started.Done()
			<-begin
			for k := 0; k < each; k++ {
				runtime.Gosched()
			}
			done.Done()
		}()
	}
	started.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	nsEach(name, start, tasks*each)
}

func spawnBatch1000() {
	const batch, rounds = 1000, 1000
	batchOnce := func() {
		var wg sync.WaitGroup
		wg.Add(batch)
		for i := 0; i < batch; i++ {
			go wg.Done()
		}
		wg.Wait()
	}
	batchOnce()
	start := time.Now()
	for r := 0; r < rounds; r++ {
		batchOnce()
	}
	nsEach("spawn_batch1000", start, batch*rounds)
}

// ---- channels ----

// roundtrips prints what each of so many waits costs.
func roundtrips(name string, rounds, waits int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	start := time.Now()
	for i := 0; i < rounds; i++ {
		ping <- i
		<-pong
	}
	nsEach(name, start, waits)
	close(ping)
	<-pong
}

func buffered128() {
	const items = 5000000
	c := make(chan int, 128)
	start := time.Now()
	go func() {
		for i := 0; i < items; i++ {
			c <- i
		}
		close(c)
	}()
	for range c {
	}
	nsEach("buffered128", start, items)
}

func select4() {
	const items = 1000000
	var c [4]chan int
	for i := range c {
		c[i] = make(chan int)
	}
	start := time.Now()
	for i := range c {
		go func(c chan int) {
			for k := 0; k < items/4; k++ {
				c <- k
			}
		}(c[i])
	}
	for i := 0; i < items; i++ {
		select {
		case <-c[0]:
		case <-c[1]:
		case <-c[2]:
		case <-c[3]:
		}
	}
	nsEach("select4", start, items)
}

// ---- locks ----

func lockUncontended() {
	const ops = 50000000
	var mu sync.Mutex
	start := time.Now()
	for i := 0; i < ops; i++ {
		mu.Lock()
		mu.Unlock()
	}
	nsEach("lock_uncontended", start, ops)
}

func locksOverYield(name string, each int) {
	const tasks = 1000
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Add(tasks)
	start := time.Now()
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < each; k++ {
				mu.Lock()
				runtime.Gosched()
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	nsEach(name, start, tasks*each)
}

// ---- a million parked ----

// memory is what the process occupies, page tables included, in bytes.
func memory() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	sum := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if f[0] == "VmRSS:" || f[0] == "VmPTE:" {
			kb, _ := strconv.Atoi(f[1])
			sum += kb * 1024
		}
	}
	return float64(sum)
}

func park1m() {
	const n = 1000000
	var parked int64
	var wg sync.WaitGroup
	gate := make(chan int)
	before := memory()
	start := time.Now()
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&parked, 1)
			<-gate
			wg.Done()
		}()
	}
	for atomic.LoadInt64(&parked) < n {
		runtime.Gosched()
	}
	nsEach("park1m_create", start, n)
	result("park1m_bytes", (memory()-before)/n, "B")
	start = time.Now()
	close(gate)
	wg.Wait()
	nsEach("park1m_release", start, n)
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func timers1m() {
	const n = 1000000
	var wg sync.WaitGroup
	late := make([]int64, n)
	random := rand.New(rand.NewSource(1))
	wg.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		d := time.Second + time.Duration(random.Int63n(int64(time.Second)))
		go func(i int) {
			when := time.Now().Add(d)
			time.Sleep(d)
			late[i] = int64(time.Since(when))
			wg.Done()
		}(i)
	}
	nsEach("timers1m_create", start, n)
	wg.Wait()
	result("timers1m_cpu", cpuSeconds(), "s")
	lateness("timers1m_late", late)
}

// ---- a ticker beside hogs ----

var turns int64 // of spin's loop in 20 ms

//go:noinline
func spin(turns int64) int64 {
	x := int64(1)
	for i := int64(0); i < turns; i++ {
		x = x*3 + i
	}
	return x
}

// calibrate finds how many turns take 20 ms of an undisturbed processor.
func calibrate() {
	const probe = 2000000
	best := time.Hour
	for i := 0; i < 20; i++ {
		start := time.Now()
		sink += spin(probe)
		if took := time.Since(start); took < best {
			best = took
		}
	}
	turns = int64(float64(probe) * float64(20*time.Millisecond) / float64(best))
}

var sink int64

// tick sleeps 1 ms again and again and returns how late it woke each time.
func tick(length time.Duration) (late []int64) {
	for end := time.Now().Add(length); time.Now().Before(end); {
		when := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		late = append(late, int64(time.Since(when)))
	}
	return late
}

func tickerHogs() {
	for i := 0; i < 2*runtime.GOMAXPROCS(0); i++ {
		go func() {
			for {
				spin(1 << 40)
			}
		}()
	}
	lateness("ticker_hogs", tick(4*time.Second))
}

func tickerHogs1000() {
	calibrate()
	for i := 0; i < 1000; i++ {
		go func() {
			for {
				spin(turns)
				runtime.Gosched()
			}
		}()
	}
	lateness("ticker_hogs1000", tick(6*time.Second))
}

// ---- accept storm ----

func acceptStorm() {
	var files syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	files.Cur = files.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 1)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					c.Write(b)
				}
			}()
		}
	}()
	ticker := startGap()
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	if err := exec.Command("python3", "bench/storm.py", port).Run(); err != nil {
		panic(err)
	}
	result("accept_storm_gap", float64(ticker.stop())/1e6, "ms")
}

// ---- dump ----

type parking struct {
	parked sync.WaitGroup
	gate   chan int
}

// A goroutine of 8 frames, its entry and 7 of these, parks at the end of one of 128 paths.
var turn [2]func(p *parking, path, depth int) int

func init() { turn = [...]func(p *parking, path, depth int) int{left, right} }

//go:noinline
func left(p *parking, path, depth int) int {
	if depth == 1 {
		p.parked.Done()
		return <-p.gate
	}
	return turn[path&1](p, path>>1, depth-1) + 1
}

//go:noinline
func right(p *parking, path, depth int) int {
	if depth == 1 {
		p.parked.Done()
		return <-p.gate
	}
	return turn[path&1](p, path>>1, depth-1) + 2
}

// park leaves n goroutines parked for good.
func park(n int) {
	p := &parking{gate: make(chan int)}
	p.parked.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) { sink += int64(turn[i&1](p, i>>1, 7)) }(i)
	}
	p.parked.Wait()
}

// A gapTicker sleeps 1 ms again and again and keeps the longest time between two ticks.
type gapTicker struct {
	stopped int32
	worst   chan time.Duration
}

func startGap() *gapTicker {
	t := &gapTicker{worst: make(chan time.Duration)}
	go func() {
		worst, last := time.Duration(0), time.Now()
		for atomic.LoadInt32(&t.stopped) == 0 {
			time.Sleep(time.Millisecond)
			now := time.Now()
			if now.Sub(last) > worst {
				worst = now.Sub(last)
			}
			last = now
		}
		t.worst <- worst
	}()
	return t
}

func (t *gapTicker) stop() time.Duration {
	atomic.StoreInt32(&t.stopped, 1)
	return <-t.worst
}

// dump writes the stacks of n parked goroutines to a file, a 1 ms ticker running beside.
func dump(name string, n int) {
	park(n)
	runtime.GC() // what the spawning left behind is not the dump's cost
	ticker := startGap()
	file, err := os.CreateTemp("", "peer-dump")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	start := time.Now()
	if err := pprof.Lookup("goroutine").WriteTo(file, 2); err != nil {
		panic(err)
	}
	result(name+"_wall", time.Since(start).Seconds(), "s")
	result(name+"_gap", float64(ticker.stop())/1e6, "ms")
	info, _ := file.Stat()
	result(name+"_bytes", float64(info.Size()), "B")
}

var cases = map[string]func(){
	"yield2":               func() { yielders("yield2", 2, 2000000) },
	"yield100k":            func() { yielders("yield100k", 100000, 20) },
	"spawn_batch1000":      spawnBatch1000,
	"unbuffered_roundtrip": func() { roundtrips("unbuffered_roundtrip", 1000000, 1000000) },
	"buffered128":          buffered128,
	"select4":              select4,
	"lock_uncontended":     lockUncontended,
	"lock_over_yield1000":  func() { locksOverYield("lock_over_yield1000", 1000) },
	"park1m":               park1m,
	"timers1m":             timers1m,
	"ticker_hogs":          tickerHogs,
	"ticker_hogs1000":      tickerHogs1000,
	"ticker_blocked1000":   tickerBlocked1000,
	"short_call":           shortCall,
	"accept_storm":         acceptStorm,
	"waits_roundtrip":      func() { roundtrips("waits_roundtrip", 1000000, 2000000) },
	"waits_lock":           func() { locksOverYield("waits_lock", 1000) },
	"dump10k":              func() { dump("dump10k", 10000) },
	"dump100k":             func() { dump("dump100k", 100000) },
	"serve_hello":          serveHello,
	"serve_parked100k":     serveParked100k,
}

// startTrace writes a trace to /dev/null if the variable asks for it.
func startTrace() {
	if os.Getenv("BENCH_TRACE") == "" {
		return
	}
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	if err := trace.Start(file); err != nil {
		panic(err)
	}
}

// setRate sets what the variable asks for, if it does.
func setRate(variable string, set func(int)) {
	if rate, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		set(rate)
	}
}

func main() {
	if len(os.Args) != 2 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peer CASE")
		os.Exit(2)
	}
	setRate("BENCH_BLOCK_RATE", runtime.SetBlockProfileRate)
	setRate("BENCH_MUTEX_RATE", func(rate int) { runtime.SetMutexProfileFraction(rate) })
	startTrace()
	cases[os.Args[1]]()
}
