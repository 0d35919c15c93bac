package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// run has what a cluster leaves if its process is killed: a directory, and empty cgroups. The directory has a file that
// is locked as long as the process lives.
type run struct {
	dir  string
	lock *os.File
}

const (
	dirPrefix   = "longnames-cluster-"
	lockName    = "lock"
	cgroupsName = "cgroups" // has the paths of the run's cgroups
)

// newRun makes a directory, and removes what runs left that were killed. No other run looks for such while this one has
// its directory without the lock.
func newRun() (*run, error) {
	gate, err := os.OpenFile(filepath.Join(os.TempDir(), dirPrefix+"gate"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	if err := unix.Flock(int(gate.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	sweep()
	r := new(run)
	if r.dir, err = os.MkdirTemp("", dirPrefix); err != nil {
		return nil, err
	}
	if err := os.Chmod(r.dir, 0o755); err != nil { // containers that are not root's have to pass
		return nil, err
	}
	if r.lock, err = os.OpenFile(filepath.Join(r.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	return r, unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// sweep removes what dead runs left. A run without a lock has ended in order, and kept its logs.
func sweep() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*", lockName))
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			dead := &run{dir: filepath.Dir(name)}
			_ = dead.removeCgroups()
			_ = os.RemoveAll(dead.dir)
		}
		f.Close()
	}
}

// close removes all, or all but logs. No machine may run any more.
func (r *run) close(keepLogs bool) error {
	defer r.lock.Close()
	err := r.removeCgroups()
	if !keepLogs {
		return errors.Join(err, os.RemoveAll(r.dir))
	}
	data, _ := filepath.Glob(filepath.Join(r.dir, "*", "var", "lib"))
	for _, dir := range append(data, filepath.Join(r.dir, "pki"), filepath.Join(r.dir, "images"), filepath.Join(r.dir, cgroupsName), r.lock.Name()) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// cgroup is a machine's cgroup of one or more controllers.
type cgroup struct {
	controllers string // as they are mounted
	path        string
}

// newCgroups makes cgroups for a machine, below those in which this process is.
func (r *run) newCgroups(machine string) ([]cgroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	list, err := os.OpenFile(filepath.Join(r.dir, cgroupsName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer list.Close()
	var out []cgroup
	for line := range strings.Lines(string(own)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] == "" { // of version 2
			continue
		}
		root, at := mounted(string(mounts), f[1])
		if at == "" {
			continue
		}
		below := strings.TrimPrefix(f[2], strings.TrimSuffix(root, "/"))
		parent := filepath.Join(at, below)
		g := cgroup{controllers: f[1], path: filepath.Join(parent, filepath.Base(r.dir)+"-"+machine)}
		fmt.Fprintln(list, g.path)
		if err := os.Mkdir(g.path, 0o755); err != nil {
			return nil, err
		}
		if slices.Contains(strings.Split(f[1], ","), "cpuset") {
			// A new one has none of either, and no process may be in it.
			for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
				text, err := os.ReadFile(filepath.Join(parent, name))
				if err != nil {
					return nil, err
				}
				if err := os.WriteFile(filepath.Join(g.path, name), text, 0o600); err != nil { //nolint:gosec // the kernel says where
					return nil, err
				}
			}
		}
		out = append(out, g)
	}
	return out, nil
}

// mounted finds in /proc/self/mountinfo where a hierarchy of cgroups is mounted, and which part of it.
func mounted(mountinfo, controllers string) (root, at string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		f, of := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(of) < 3 || of[0] != "cgroup" {
			continue
		}
		options := strings.Split(of[2], ",")
		missing := slices.ContainsFunc(strings.Split(controllers, ","), func(c string) bool { return !slices.Contains(options, c) })
		if !missing {
			return f[3], f[4]
		}
	}
	return "", ""
}

// removeCgroups removes those that the run has made, with those that its containers had.
func (r *run) removeCgroups() error {
	list, err := os.ReadFile(filepath.Join(r.dir, cgroupsName))
	if err != nil {
		return nil //nolint:nilerr // it did not come to make any
	}
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		// The kernel takes a moment to see that the last process is gone.
		err = errors.Join(err, poll(10*time.Second, func() error { return removeCgroup(path) }))
	}
	return err
}

func removeCgroup(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(path, e.Name())))
		}
	}
	return errors.Join(err, unix.Rmdir(path))
}
