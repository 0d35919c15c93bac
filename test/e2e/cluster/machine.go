package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longnames/longnames/test/e2e/build"
)

// machine is what a computer is to the parts of Kubernetes: it has processes, mounts, a network, a name and cgroups of
// its own, and directories of its own at their usual places. The first process of its PID namespace holds all of it. The
// kernel ends the others with it, and takes away mounts and network with the last of them. That process ends with ours,
// however ours ends.
type machine struct {
	name string
	dir  string // has its directories, and its logs
	run  *run
	init *Process
	*network

	mu        sync.Mutex // protects following
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
// to be in the machine's cgroups before. These are below those in which this process is. A new cpuset has no processors
// and no memory, and no process may be in it.
const boot = `
mount --make-rprivate /
mount -t proc proc /proc
hostname "$NAME"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad # addresses are there at once
(cd "$DIR/sys"; find . -type f) | while read -r file; do mount --bind "$DIR/sys/$file" "/proc/sys/$file"; done
for each in cpu cpuacct cpuset memory devices freezer pids; do
	findmnt -n -t cgroup -O "$each" >/dev/null || { echo "the cgroup controller $each is not mounted as version 1"; exit 1; }
done
CONTROLLERS=
while IFS=: read -r _ controllers path; do
	[ -n "$controllers" ] || continue # it is version 2
	at=$(findmnt -fnr -t cgroup -O "$controllers" -o TARGET) || continue
	root=$(findmnt -fnr -t cgroup -O "$controllers" -o FSROOT)
	parent=$at${path#"${root%/}"}
	group=$parent/${RUN##*/}-$NAME
	echo "$group" >>"$RUN/cgroups"
	mkdir "$group"
	for each in cpuset.cpus cpuset.mems; do
		[ ! -e "$parent/$each" ] || cat "$parent/$each" >"$group/$each"
	done
	echo $$ >"$group/cgroup.procs"
	CONTROLLERS="$CONTROLLERS $controllers"
done </proc/self/cgroup
export CONTROLLERS
exec unshare --cgroup sh -euc '
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	for each in $CONTROLLERS; do
		mkdir "/sys/fs/cgroup/${each#name=}"
		mount -t cgroup -o "$each" cgroup "/sys/fs/cgroup/${each#name=}"
	done
	for each in run var/lib var/log; do
		mkdir -p "$DIR/$each"
		mount --bind "$DIR/$each" "/$each"
	done
	echo >"$DIR/booted"
	exec "$INIT"
'
`

// newMachine starts a machine without a network. The init is its first process.
func newMachine(r *run, name, initPath string) (*machine, error) {
	m := &machine{name: name, dir: r.file(name), run: r}
	for name, value := range tunables {
		path := filepath.Join(m.dir, "sys", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(value+"\n"), 0o600)); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("sh", "-euc", boot)
	cmd.Env = append(os.Environ(), "NAME="+name, "DIR="+m.dir, "RUN="+r.dir, "INIT="+initPath)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	var err error
	if m.init, err = newProcess(name, filepath.Join(m.dir, "init.log"), cmd); err != nil {
		return nil, fmt.Errorf("are you root? %w", err)
	}
	m.network = &network{fmt.Sprintf("/proc/%d/ns/net", m.init.Pid())}
	if err := poll(time.Minute, func() error {
		_, err := os.Stat(filepath.Join(m.dir, "booted"))
		if ended := m.init.Ended(); ended != nil {
			return final{ended}
		}
		return err
	}); err != nil {
		m.stop()
		return nil, fmt.Errorf("%s does not boot: %w", name, err)
	}
	return m, nil
}

// nsenter is what runs a command in namespaces of the machine, as options of nsenter(1) name them.
func (m *machine) nsenter(namespaces ...string) []string {
	return slices.Concat([]string{"nsenter", "--target", strconv.Itoa(m.init.Pid())}, namespaces, []string{"--"})
}

// inside runs a command as a process of the machine, in the directory in which this process is.
func (m *machine) inside(args ...string) []string {
	const join = `for each in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$each"; done; cd "$0"; exec "$@"`
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return slices.Concat(m.nsenter("--mount", "--pid", "--net", "--cgroup", "--uts", "--ipc"),
		[]string{"sh", "-euc", join, dir}, args)
}

// Run runs a command on the machine, and returns what it prints. There are kubectl and helm, with the administrator's
// rights.
func (m *machine) Run(ctx context.Context, args ...string) (string, error) {
	inside := m.inside(args...)
	cmd := exec.CommandContext(ctx, inside[0], inside[1:]...) //nolint:gosec // what to run is ours
	cmd.Env = append(os.Environ(), "KUBECONFIG="+m.run.file(adminConf), "HOME="+m.run.dir, m.path())
	out, err := build.Output(cmd)
	if err != nil {
		err = fmt.Errorf("%s: %s: %w", m.name, strings.Join(args, " "), err)
	}
	return out, err
}

func (m *machine) path() string { return "PATH=" + m.run.file("bin") + ":" + os.Getenv("PATH") }

// ip configures the network of the machine, by lines of ip(8). Processes have the IDs that they have here.
func (m *machine) ip(ctx context.Context, lines ...string) error {
	args := append(m.nsenter("--net"), "ip", "-batch", "-")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what to run is ours
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := build.Output(cmd)
	return err
}

// network is that of a machine or of a pod, by its file.
type network struct{ file string }

// Dial makes a connection from there. The address has to be literal: only then the socket is made by the thread that is
// in the network.
func (n *network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dial(ctx, new(net.Dialer), network, address)
}

// DialFrom makes a connection over UDP from one of its addresses.
func (n *network) DialFrom(ctx context.Context, local, address string) (net.Conn, error) {
	return n.dial(ctx, &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(local)}}, "udp", address)
}

func (n *network) dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, err error) {
	err = n.there(func() (err error) {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens there.
func (n *network) Listen(network, address string) (l net.Listener, err error) {
	err = n.there(func() (err error) {
		l, err = new(net.ListenConfig).Listen(context.Background(), network, address)
		return err
	})
	return l, err
}

// Get reads a page from there.
func (n *network) Get(url string) (string, http.Header, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return string(text), response.Header, err
}

// Metric returns the sum of all series of a metric of CoreDNS that have some labels, and how many these are. Series with
// labels come into being when they are first counted.
func (n *network) Metric(address, name string, labels ...string) (sum float64, series int, err error) {
	text, _, err := n.Get("http://" + net.JoinHostPort(address, "9153") + "/metrics")
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{(.*)\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(found[1], l) }) {
			value, failed := strconv.ParseFloat(found[2], 64)
			sum, series, err = sum+value, series+1, errors.Join(err, failed)
		}
	}
	return sum, series, err
}

// there has a thread do something in the network. The thread ends with it.
func (n *network) there(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		f, err := os.Open(n.file)
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

// stop ends the machine, with all that runs on it.
func (m *machine) stop() {
	all := append([]*Process{m.init}, m.all()...)
	for _, p := range all { // the init cannot end before each nsenter takes note of its child's end, stopped as it may be
		p.part.Store(false)
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range all {
		p.Stop(0)
	}
}

func (m *machine) all() []*Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.processes)
}

// start starts a part: a process of the machine that is to run as long as the machine does.
func (m *machine) start(command string, args ...string) error {
	return m.startPart(command, m.inside(append([]string{command}, args...)...))
}

func (m *machine) startPart(name string, args []string) error {
	p, err := m.spawn(name, []string{m.path()}, args)
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
