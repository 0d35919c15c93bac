package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// netns is a network namespace: that of the control plane, or a pod's.
type netns struct {
	name  string
	calls chan func()
	quit  chan struct{}
	ended chan struct{}
}

// batch runs lines of ip(8): many at once, for a process each takes its time.
func batch(ctx context.Context, lines ...string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s\n%s", err, out, strings.Join(lines, "\n"))
	}
	return nil
}

// in makes lines of ip(8) act inside a namespace.
func in(namespace string, lines ...string) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		// -batch knows no -netns, but it can run ip once more.
		out = append(out, "netns exec "+namespace+" ip "+line)
	}
	return out
}

// openNetns starts the thread through which sockets are made in the namespace.
func openNetns(name string) (*netns, error) {
	n := &netns{name: name, calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go n.serve(ready)
	return n, <-ready
}

// serve never unlocks its thread, so that the thread ends with it: nothing else may ever run there.
func (n *netns) serve(ready chan<- error) {
	defer close(n.ended)
	runtime.LockOSThread()
	f, err := os.Open(filepath.Join("/run/netns", n.name))
	if err == nil {
		err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		f.Close()
	}
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case call := <-n.calls:
			call()
		case <-n.quit:
			return
		}
	}
}

func (n *netns) close() {
	close(n.quit)
	<-n.ended
}

// do has the thread do something, unless it has ended: some ask to the last.
func (n *netns) do(call func() error) error {
	result := make(chan error, 1)
	select {
	case n.calls <- func() { result <- call() }:
		return <-result
	case <-n.ended:
		return net.ErrClosed
	}
}

// dial makes a connection inside the namespace. A socket stays where it was made, so any thread can use it. The
// address has to be literal: only then the socket is made by the goroutine that asks for it.
func (n *netns) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func (n *netns) listen(address string) (l net.Listener, err error) {
	err = n.do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// prefix is the one network in which all addresses lie: no routes are needed.
func prefix(a netip.Addr) string {
	if a.Is4() {
		return a.String() + "/8"
	}
	return a.String() + "/16 nodad"
}

// limits are what the kernel has for all namespaces together, and how much many nodes need. If there are more
// neighbours than it has room for, packets are lost for seconds; a busy machine loses those that wait for too long.
var limits = map[string]int{
	"ipv4/neigh/default/gc_thresh2": 8192,
	"ipv4/neigh/default/gc_thresh3": 16384,
	"ipv6/neigh/default/gc_thresh2": 8192,
	"ipv6/neigh/default/gc_thresh3": 16384,
	"core/netdev_max_backlog":       10000,
}

// raiseLimits never lowers any, for they are the machine's. Where it may not, the bed may do all the same.
func raiseLimits() {
	for name, least := range limits {
		path := filepath.Join("/proc/sys/net", name)
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now < least {
			_ = os.WriteFile(path, []byte(strconv.Itoa(least)), 0o600)
		}
	}
}

// newBridge makes the namespace of the control plane, with the bridge that joins the pods to it. The bridge is in
// there, too: the host's network is not touched, but for limits.
func newBridge(ctx context.Context, name string) error {
	raiseLimits()
	return batch(ctx, append([]string{"netns add " + name}, in(name,
		"link set lo up",
		// With an address of its own: else it takes that of one of its ports, and packets are lost when it takes another.
		"link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0",
		"link set br0 up")...)...)
}

// newPodNetns makes a pod's namespace. The cable goes directly from one namespace into the other.
func newPodNetns(ctx context.Context, bridge, name, port string, addresses []netip.Addr) error {
	outside := in(bridge,
		"link add "+port+" type veth peer name eth0 netns "+name,
		"link set "+port+" master br0 up")
	inside := in(name, "link set lo up")
	for _, a := range addresses {
		inside = append(inside, in(name, "addr add "+prefix(a)+" dev eth0")...)
	}
	inside = append(inside, in(name, "link set eth0 up")...)
	return batch(ctx, slices.Concat([]string{"netns add " + name}, outside, inside)...)
}
