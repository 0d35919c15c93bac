package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// container is what a container runtime is told: how to run one process.
type container struct {
	Root         string // an empty directory, to be the root
	ReadOnlyRoot bool
	Mounts       []mount // inside the root, those first that others lie in
	Args         []string
	Env          []string
	Dir          string
	UID, GID     int
	// Capabilities are those that the process may have. One that is not root's has none all the same, unless its file says
	// so, as in any container: see capabilities(7).
	Capabilities    []int
	NoNewPrivileges bool
	Sysctls         map[string]string // of the network namespace
}

// mount shows a file or a directory at a place in the container.
type mount struct {
	From, To string
	ReadOnly bool
}

// containerCommand is the first argument by which this program runs a container, in network and PID namespaces that are
// there already. It does what a runtime does, but for seccomp and cgroups.
const containerCommand = "container"

// command writes the container to a file, and gives the command that runs it.
func (c *container) command(name, file string) (command, error) {
	self, err := os.Executable()
	if err != nil {
		return command{}, err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return command{}, err
	}
	return command{name: name, pod: true, args: []string{self, containerCommand, file}}, os.WriteFile(file, text, 0o600)
}

// runContainer becomes the process of the container in a file; it returns only if it cannot.
func runContainer(file string) error {
	// Most of what follows is about the thread that becomes the process, not about all of them.
	runtime.LockOSThread()
	text, err := os.ReadFile(file) //nolint:gosec // who may start this may read it
	if err != nil {
		return err
	}
	var c container
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	for _, step := range []func() error{c.setSysctls, c.mount, c.enter, c.drop} {
		if err := step(); err != nil {
			return err
		}
	}
	return fmt.Errorf("cannot run %s: %w", c.Args[0], unix.Exec(c.Args[0], c.Args, c.Env))
}

func (c *container) setSysctls() error {
	for name, value := range c.Sysctls {
		path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mount puts the root together.
func (c *container) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := bind(c.Root, c.Root, false); err != nil {
		return err
	}
	for _, m := range c.Mounts {
		to := filepath.Join(c.Root, m.To)
		if err := mountPoint(m.From, to); err != nil {
			return err
		}
		if err := bind(m.From, to, m.ReadOnly); err != nil {
			return err
		}
	}
	if c.ReadOnlyRoot {
		return bindReadOnly(c.Root)
	}
	return nil
}

// mountPoint makes a place for what is to be mounted: a directory for a directory, an empty file for a file.
func mountPoint(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func bind(from, to string, readOnly bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", from, to, err)
	}
	if readOnly {
		return bindReadOnly(to)
	}
	return nil
}

func bindReadOnly(path string) error {
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("cannot mount %s read-only: %w", path, err)
	}
	return nil
}

// enter leaves everything behind that is not in the root. pivot_root(2) says how it is done without a directory for the
// old root.
func (c *container) enter() error {
	if err := os.Chdir(c.Root); err != nil {
		return err
	}
	return errors.Join(unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir(c.Dir))
}

// lastCapability is where capabilities end: the kernel says EINVAL beyond its own.
const lastCapability = 63

// drop becomes the user, with no rights but those that are given.
func (c *container) drop() error {
	var kept uint64
	for _, capability := range c.Capabilities {
		kept |= 1 << capability
	}
	for i := range uintptr(lastCapability + 1) {
		if kept&(1<<i) == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, i, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(c.GID, c.GID, c.GID), syscall.Setresuid(c.UID, c.UID, c.UID)); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(kept), Permitted: uint32(kept)},
		{Effective: uint32(kept >> 32), Permitted: uint32(kept >> 32)},
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	if c.NoNewPrivileges {
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return nil
}
