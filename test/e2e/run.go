package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runsDir has a locked file for each run that lives. What a run makes carries its id, so that no two meet, and the next
// one can clean up after one that was killed.
const runsDir = "/run/longnames-e2e"

// run is one run of this program.
type run struct {
	id   string
	lock *os.File
	dir  string // for logs and data
}

func newRun() (*run, error) {
	if err := os.MkdirAll(runsDir, 0o755); err != nil {
		return nil, err
	}
	// Looking for the dead and being born exclude each other: a run has its file before its lock.
	gate, err := os.OpenFile(filepath.Join(runsDir, ".gate"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	if err := unix.Flock(int(gate.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	bury()

	random := make([]byte, 3)
	_, _ = rand.Read(random) // never fails
	r := &run{id: hex.EncodeToString(random)}
	if r.lock, err = os.OpenFile(filepath.Join(runsDir, r.id), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	r.dir, err = os.MkdirTemp("", "longnames-e2e-"+r.id+"-")
	return r, err
}

// within gives another run, as far as a bed can see, for one that stands beside others. What it leaves behind is found by
// the name of the first.
func (r *run) within(name string) (*run, error) {
	own := &run{id: r.id + "-" + name, lock: r.lock, dir: filepath.Join(r.dir, name+"-plane")}
	return own, os.MkdirAll(own.dir, 0o755)
}

// bury removes what runs have left that were killed.
func bury() {
	files, _ := filepath.Glob(filepath.Join(runsDir, "[0-9a-f]*"))
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			dead := &run{id: filepath.Base(name), lock: f}
			dead.removeAll()
		}
		f.Close()
	}
}

// netns is the name of a namespace of this run.
func (r *run) netns(name string) string { return "longnames-" + r.id + "-" + name }

// removeNetns ends what runs in a namespace and removes it.
func (r *run) removeNetns(name string) error {
	for range 50 {
		pids, err := exec.Command("ip", "netns", "pids", name).Output()
		if err != nil || len(strings.TrimSpace(string(pids))) == 0 {
			break
		}
		for text := range strings.FieldsSeq(string(pids)) {
			// Our own thread may be listed where it looks after the namespace.
			if pid, err := strconv.Atoi(text); err == nil && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(20 * time.Millisecond) // until the kernel has ended them
	}
	return errors.Join(
		exec.Command("ip", "netns", "del", name).Run(),
		os.RemoveAll(etcOf(name)))
}

// removeAll removes what the run has made, except for its logs.
func (r *run) removeAll() {
	left, _ := filepath.Glob("/run/netns/" + r.netns("*"))
	for _, path := range left {
		_ = r.removeNetns(filepath.Base(path))
	}
	// Where a namespace is gone already, its files may not be.
	files, _ := filepath.Glob(etcOf(r.netns("*")))
	for _, path := range files {
		_ = os.RemoveAll(path)
	}
	_ = os.Remove(r.lock.Name())
}

func (r *run) close() {
	r.removeAll()
	r.lock.Close()
}

// eventually polls until check finds nothing wrong, and else gives what was wrong at last.
func eventually(ctx context.Context, patience time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(pause*2, 200*time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}
