// A goroutine per message: two more for its fan-out, and one that keeps its lease meanwhile.
//
// Handles as many messages as it is told to and prints how many nanoseconds of a processor
// that took.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	outstanding = 1000
	lease       = 60 * time.Second
)

func main() {
	n, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		panic(err)
	}
	// One thread, as its peers have.
	runtime.GOMAXPROCS(1)
	permits := make(chan struct{}, outstanding)
	var acked int64
	before := processorTime()
	for number := int64(0); number < n; number++ {
		permits <- struct{}{}
		message := new([64]byte)
		go func() {
			handle(message)
			atomic.AddInt64(&acked, 1)
			<-permits
		}()
	}
	// All permits are free: all messages are done.
	for number := 0; number < outstanding; number++ {
		permits <- struct{}{}
	}
	took := processorTime() - before
	if atomic.LoadInt64(&acked) != n {
		panic("not every message is acked")
	}
	fmt.Println(took)
}

func handle(message *[64]byte) {
	done := make(chan struct{})
	go keepLease(done)
	var branches sync.WaitGroup
	branches.Add(2)
	for number := 0; number < 2; number++ {
		go func() {
			runtime.Gosched()
			runtime.KeepAlive(message)
			branches.Done()
		}()
	}
	branches.Wait()
	close(done)
}

func keepLease(done <-chan struct{}) {
	ticker := time.NewTicker(lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
	}
}

func processorTime() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
