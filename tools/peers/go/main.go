// SPDX-License-Identifier: MIT
// Go peer: go_bench WORKLOAD | echo PORT | http PORT | file PATH direct(0|1) SECONDS
package main

import (
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var peer = "go" + strings.Join(strings.Split(strings.TrimPrefix(runtime.Version(), "go"), ".")[:2], ".")

func emit(w string, v float64, u string) { fmt.Printf("%s %s %.4g %s\n", peer, w, v, u) }
func clk(id uintptr) int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}
func cpu() int64 { return clk(2) }
func now() int64 { return clk(1) }
func pin(core uint) {
	var m [16]uint64
	m[0] = 1 << core
	syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(m), uintptr(unsafe.Pointer(&m)))
}
func mem() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	s := 0.0
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "VmRSS:") || strings.HasPrefix(l, "VmPTE:") {
			k, _ := strconv.Atoi(strings.Fields(l)[1])
			s += float64(k) * 1024
		}
	}
	return s
}

const (
	nYield = 10000000
	nSpawn = 1000000
	nBatch = 100000
	nTimer = 1000000
)

func w7(capacity int, name string) {
	const n = 5000000
	c, d := make(chan uint64, capacity), make(chan uint64)
	t := cpu()
	go func() {
		for i := uint64(0); i < n; i++ {
			c <- i
		}
		close(c)
	}()
	go func() {
		var s uint64
		for v := range c {
			s += v
		}
		d <- s
	}()
	<-d
	emit(name, float64(cpu()-t)/n, "ns")
}

func main() {
	w := os.Args[1]
	switch w {
	case "W6", "W6b":
		runtime.GOMAXPROCS(2)
	case "file":
		runtime.GOMAXPROCS(1)
	default:
		runtime.GOMAXPROCS(1)
	}
	switch w {
	case "W1":
		var g sync.WaitGroup
		g.Add(2)
		f := func() {
			for i := 0; i < nYield/2; i++ {
				runtime.Gosched()
			}
			g.Done()
		}
		t := cpu()
		go f()
		go f()
		g.Wait()
		emit("W1_yield", float64(cpu()-t)/nYield, "ns")
	case "W2":
		c := make(chan struct{})
		t := cpu()
		for i := 0; i < nSpawn; i++ {
			go func() { c <- struct{}{} }()
			<-c
		}
		emit("W2_spawn_join", float64(cpu()-t)/nSpawn, "ns")
		for _, n := range []string{"cold", "warm"} {
			var g sync.WaitGroup
			t = cpu()
			g.Add(nBatch)
			for i := 0; i < nBatch; i++ {
				go g.Done()
			}
			g.Wait()
			emit("W2b_spawn_batch_"+n, float64(cpu()-t)/nBatch, "ns")
		}
	case "W3":
		n, _ := strconv.Atoi(os.Args[2])
		m := mem()
		var left int64 = int64(n)
		for i := 0; i < n; i++ {
			go func() { atomic.AddInt64(&left, -1); time.Sleep(time.Hour) }()
		}
		for atomic.LoadInt64(&left) > 0 {
			runtime.Gosched()
		}
		debug.FreeOSMemory()
		name := "W3_idle_100k"
		if n == 1000000 {
			name = "W3_idle_1M"
		}
		emit(name, (mem()-m)/float64(n), "B")
	case "W4":
		var g sync.WaitGroup
		r := rand.New(rand.NewSource(1))
		c := cpu()
		g.Add(nTimer)
		for i := 0; i < nTimer; i++ {
			time.AfterFunc(time.Duration(1+r.Intn(1000))*time.Millisecond, g.Done)
		}
		g.Wait()
		emit("W4_timer_cb", float64(cpu()-c)/nTimer, "ns-cpu")
	case "W4t":
		var g sync.WaitGroup
		r := rand.New(rand.NewSource(1))
		c := cpu()
		g.Add(nTimer)
		for i := 0; i < nTimer; i++ {
			d := time.Duration(1+r.Intn(1000)) * time.Millisecond
			go func() { time.Sleep(d); g.Done() }()
		}
		g.Wait()
		emit("W4_sleep_task", float64(cpu()-c)/nTimer, "ns-cpu")
	case "W4b":
		r := rand.New(rand.NewSource(1))
		v := make([]*time.Timer, 1000)
		mk := func() *time.Timer { return time.AfterFunc(time.Duration(60000+r.Intn(60000))*time.Millisecond, func() {}) }
		for i := range v {
			v[i] = mk()
		}
		t := cpu()
		for k := 0; k < 1000; k++ {
			for i := range v {
				v[i].Stop()
				v[i] = mk()
			}
			runtime.Gosched()
		}
		emit("W4b_cancel", float64(cpu()-t)/1e6, "ns")
	case "W5":
		d := make(chan bool)
		n := 0
		var f func()
		f = func() {
			if n++; n < 10000000 {
				go f()
			} else {
				d <- true
			}
		}
		t := cpu()
		go f()
		<-d
		emit("W5_call_soon", float64(cpu()-t)/1e7, "ns")
	case "W6":
		a, b := make(chan int), make(chan int)
		go func() {
			runtime.LockOSThread()
			pin(1)
			for v := range a {
				b <- v
			}
		}()
		runtime.LockOSThread()
		pin(0)
		time.Sleep(10 * time.Millisecond)
		t, c, n := now(), cpu(), 0
		for now()-t < 1e9 {
			a <- 1
			<-b
			n++
		}
		emit("W6_pingpong", float64(now()-t)/float64(n)/1e3, "us/rtt")
		emit("W6_pingpong_cpu", float64(cpu()-c)/float64(n)/1e3, "us-cpu/rtt")
	case "W6b":
		const n = 5000000
		c := make(chan func(), 1024)
		left := n
		runtime.LockOSThread()
		pin(0)
		t := now()
		go func() {
			runtime.LockOSThread()
			pin(1)
			f := func() { left-- }
			for i := 0; i < n; i++ {
				c <- f
			}
		}()
		for left > 0 {
			(<-c)()
		}
		emit("W6b_post", float64(now()-t)/n, "ns")
	case "W7":
		w7(1, "W7_queue_1")
		w7(128, "W7_queue_128")
	case "echo":
		l, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[2])
		if err != nil {
			panic(err)
		}
		for {
			c, err := l.Accept()
			if err != nil {
				continue
			}
			go func() {
				defer c.Close()
				b := make([]byte, 16384)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err = c.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	case "http":
		body := []byte("Hello, World!")
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write(body)
		})
		panic(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
	case "file":
		fl, name := os.O_RDONLY, "W11_file_cached"
		if os.Args[3] == "1" {
			fl |= syscall.O_DIRECT
			name = "W11_file_direct"
		}
		f, err := os.OpenFile(os.Args[2], fl, 0)
		if err != nil {
			panic(err)
		}
		secs, _ := strconv.ParseFloat(os.Args[4], 64)
		var n, stop int64
		var g sync.WaitGroup
		t, c := now(), cpu()
		for k := 0; k < 32; k++ {
			g.Add(1)
			go func(k int64) {
				r := rand.New(rand.NewSource(k))
				raw := make([]byte, 8192)
				o := (4096 - int(uintptr(unsafe.Pointer(&raw[0]))&4095)) & 4095
				b := raw[o : o+4096]
				for atomic.LoadInt64(&stop) == 0 {
					if m, err := f.ReadAt(b, int64(r.Intn(262144))*4096); m != 4096 && err != io.EOF {
						panic(err)
					}
					atomic.AddInt64(&n, 1)
				}
				g.Done()
			}(int64(k))
		}
		time.Sleep(time.Duration(secs * 1e9))
		atomic.StoreInt64(&stop, 1)
		g.Wait()
		fmt.Printf("%s %s.rate %.0f IOPS\n%s %s.cpu %.3f us-cpu/op\n", peer, name, float64(n)/(float64(now()-t)/1e9), peer, name, float64(cpu()-c)/float64(n)/1e3)
	}
}
