package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine is what a computer is to the parts of Kubernetes: it has processes, mounts, a network, a name and cgroups of
// its own, and directories of its own at their usual places. The first process of its PID namespace holds all of it. The
// kernel ends the others with it, and takes away mounts and network with the last of them. As that process ends with
// ours, nothing is left but files and empty cgroups, however ours ends.
type machine struct {
	name    string
	address string
	dir     string // has its directories, and its logs
	init    *exec.Cmd
	ended   chan struct{} // is closed once init has

	mu        sync.Mutex // protects processes
	processes []*Process
}

// tunables are what a kubelet wants of the kernel, and sets if it finds anything else. It finds this, for these belong
// to all of the computer.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// boot is what the first process does. A cgroup namespace begins where the process is that makes it, so the process has
// to be in the machine's cgroups before.
const boot = `
mount --make-rprivate /
mount -t proc proc /proc
hostname "$NAME"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad # addresses are there at once
for file in $TUNABLES; do mount --bind "$DIR/sys/$file" "/proc/sys/$file"; done
for each in $CGROUPS; do echo 0 >"$each/cgroup.procs"; done
exec unshare --cgroup sh -euc '
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	for each in $CONTROLLERS; do
		mkdir "/sys/fs/cgroup/${each#name=}"
		mount -t cgroup -o "$each" cgroup "/sys/fs/cgroup/${each#name=}"
	done
	for each in $DIRECTORIES; do mount --bind "$DIR/$each" "/$each"; done
	exec "$INIT" 2>/dev/null
'
`

// directories are those that a machine has of its own.
var directories = []string{"run", "var/lib", "var/log"}

// newMachine starts a machine without a network. The init is its first process.
func newMachine(r *run, name, address, initPath string) (*machine, error) {
	m := &machine{name: name, address: address, dir: filepath.Join(r.dir, name), ended: make(chan struct{})}
	for _, d := range directories {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	var files []string
	for name, value := range tunables {
		path := filepath.Join(m.dir, "sys", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(value+"\n"), 0o600)); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	groups, err := r.newCgroups(name)
	if err != nil {
		return nil, err
	}
	var paths, controllers []string
	for _, g := range groups {
		paths, controllers = append(paths, g.path), append(controllers, g.controllers)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	m.init = exec.Command("sh", "-euc", boot)
	m.init.Env = append(os.Environ(), "NAME="+name, "DIR="+m.dir, "INIT="+initPath, "TUNABLES="+strings.Join(files, " "),
		"CGROUPS="+strings.Join(paths, " "), "CONTROLLERS="+strings.Join(controllers, " "), "DIRECTORIES="+strings.Join(directories, " "))
	m.init.Stderr = in
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	err = spawn(m.init)
	in.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: no namespaces: %w", name, err)
	}
	go func() {
		_ = m.init.Wait()
		close(m.ended)
	}()
	// The shell closes its standard error when all is done.
	if said, err := io.ReadAll(out); err != nil || len(said) > 0 {
		m.stop()
		return nil, fmt.Errorf("%s does not boot: %w", name, errors.Join(err, errors.New(string(said))))
	}
	return m, nil
}

// nsenter is what runs a command in namespaces of the machine, as options of nsenter(1) name them.
func (m *machine) nsenter(namespaces ...string) []string {
	return slices.Concat([]string{"nsenter", "--target", strconv.Itoa(m.init.Process.Pid)}, namespaces, []string{"--"})
}

// inside runs a command as a process of the machine.
func (m *machine) inside(args ...string) []string {
	const join = `for each in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$each"; done; exec "$@"`
	all := m.nsenter("--mount", "--pid", "--net", "--cgroup", "--uts", "--ipc")
	return append(append(all, "sh", "-euc", join, "sh"), args...)
}

// ip configures the network of the machine, by lines of ip(8).
func (m *machine) ip(ctx context.Context, lines ...string) error {
	args := append(m.nsenter("--net"), "ip", "-batch", "-")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what to run is ours
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := output(cmd); err != nil {
		return fmt.Errorf("%s: ip: %w: %s", m.name, err, out)
	}
	return nil
}

// Dial makes a connection from the machine. The address has to be literal: only then the socket is made by the thread
// that is in the machine's network.
func (m *machine) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = m.there(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on the machine.
func (m *machine) Listen(network, address string) (l net.Listener, err error) {
	err = m.there(func() (err error) {
		l, err = new(net.ListenConfig).Listen(context.Background(), network, address)
		return err
	})
	return l, err
}

// there has a thread do something in the machine's network.
func (m *machine) there(do func() error) error {
	return there(fmt.Sprintf("/proc/%d/ns/net", m.init.Process.Pid), do)
}

// there has a thread do something in a network. The thread ends with it.
func there(network string, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		f, err := os.Open(network)
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		result <- err
	}()
	return <-result
}

// Run runs a command on the machine, and returns what it prints.
func (m *machine) Run(ctx context.Context, args ...string) (string, error) {
	args = m.inside(args...)
	out, err := output(exec.CommandContext(ctx, args[0], args[1:]...)) //nolint:gosec // what to run is ours
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", m.name, strings.Join(args, " "), err, out)
	}
	return out, err
}

// stop ends the machine, with all that runs on it.
func (m *machine) stop() {
	_ = m.init.Process.Kill()
	<-m.ended
	for _, p := range m.all() {
		p.Stop(0)
	}
}

func (m *machine) all() []*Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.processes)
}

// start starts a part: a process of the machine that is to run as long as the machine does.
func (m *machine) start(name string, args ...string) error {
	p, err := m.spawn(name, nil, m.inside(args...))
	if err == nil {
		p.part.Store(true)
	}
	return err
}

// dead is an error if a part has ended.
func (m *machine) dead() error {
	for _, p := range m.all() {
		if err := p.Ended(); err != nil && p.part.Load() {
			return err
		}
	}
	return nil
}
