package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// On a busy machine a process may wait for seconds until it gets a processor. In a cluster CoreDNS does not share one
// with its clients, with an API server and with somebody's compiler; and who measures time must not be late himself. So
// these two have real-time priority: CoreDNS comes first, then the runner, then all else.
const (
	urgentPriority = 2
	runnerPriority = 1
)

// hurries is whether that is so.
var hurries atomic.Bool

// hurry makes it so from now on, also for what is started as urgent.
func hurry() error {
	done := make(map[int]bool)
	thread := make(chan int)
	births() <- func() { thread <- unix.Gettid() }
	done[<-thread] = true // as ever, as is what it starts
	urgentBirths() <- func() { thread <- unix.Gettid() }
	urgent := <-thread
	// Threads inherit it from those that make them: all have it once there are no new ones.
	for before := 0; len(done) > before; {
		before = len(done)
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil || done[tid] {
				continue
			}
			attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: runnerPriority}
			if tid == urgent {
				attr.Priority = urgentPriority
			}
			if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("no real-time priority: %w", err)
			}
			done[tid] = true
		}
	}
	hurries.Store(true)
	return nil
}
