package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Host is a computer beside the nodes, for processes of a test: a CoreDNS that is in no pod, or an Erlang node whose pod
// is an object alone.
type Host struct {
	*machine
	Address string
	cluster *Cluster
}

// The network of hosts, which reach the API server and the pods of nodes through the machine of the control plane.
const (
	hostNetmask = "/10"
	hostGateway = "10.191.255.254"
)

// HostAddress returns the address of a host: the part is below 64, the number below 50 000.
func HostAddress(part, number int) string {
	return fmt.Sprintf("10.%d.%d.%d", 128+part, number/250, number%250+1)
}

// Upstream is the address of the host that nodes have as their nameserver, if there is one.
var Upstream = HostAddress(63, 0)

// NewHost starts a host, which ends with the test, or earlier by Close.
func (c *Cluster) NewHost(t testing.TB, name, address string) *Host {
	t.Helper()
	h := &Host{cluster: c, Address: address}
	var err error
	h.machine, err = newMachine(c.run, name, c.pause)
	require.NoError(t, err)
	t.Cleanup(h.Close)
	c.mu.Lock()
	c.hosts = append(c.hosts, h)
	cable := fmt.Sprintf("host-%d", len(c.hosts))
	c.mu.Unlock()
	require.NoError(t, errors.Join(c.plane.ip(t.Context(), h.cable(cable)...), h.ip(t.Context(), "link set eth0 up",
		"addr add "+address+hostNetmask+" dev eth0", "route add default via "+hostGateway)))
	return h
}

// cable is what the machine of the control plane does to have a machine's eth0 connected to its bridge.
func (m *machine) cable(name string) []string {
	return []string{fmt.Sprintf("link add %s type veth peer name eth0 netns %d", name, m.init.Pid()),
		"link set " + name + " master br0 up"}
}

// Close ends the host, as if its power had failed: it says nothing to anybody.
func (h *Host) Close() {
	if h.init.Ended() != nil { // its process ID may be that of another host by now
		return
	}
	// Without a network first, no connection is reset.
	_ = h.ip(context.Background(), "link set eth0 down")
	h.stop()
}

// Resolve has the host ask nameservers, by their addresses.
func (h *Host) Resolve(t testing.TB, nameservers ...string) {
	t.Helper()
	const script = `printf "nameserver %s\n" "$@" >"$0"; mount --bind "$0" /etc/resolv.conf`
	args := []string{"sh", "-euc", script, filepath.Join(h.dir, "resolv.conf")}
	_, err := h.Run(t.Context(), append(args, nameservers...)...)
	require.NoError(t, err)
}

// Start starts a process on the host. Signals and its exit status are its own; what it leaves in the background ends with
// the host only if it was started by Daemons.
func (h *Host) Start(t testing.TB, name string, env []string, args ...string) *Process {
	t.Helper()
	// The machine's /proc is of its own processes, and covers the one that has this process.
	own := append(h.nsenter("--mount", "--net", "--uts", "--ipc"), "unshare", "--mount", h.cluster.pause)
	return h.begin(t, name, env, append(own, args...))
}

// Daemons starts a process, as erl, that leaves others in the background. Signals go to all of them.
func (h *Host) Daemons(t testing.TB, name string, env []string, args ...string) *Process {
	t.Helper()
	return h.begin(t, name, env, append(h.nsenter("--mount", "--pid", "--net", "--uts", "--ipc"), args...))
}

// Erl starts an Erlang node. It has few threads, since there are many nodes, and few cores; and one that is cut off while
// it connects is missed by the lack of ticks alone, after a minute by default. erl does not wait for the epmd that it
// starts, and then ends on a busy machine.
func (h *Host) Erl(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	const start = `epmd -daemon; until epmd -names >/dev/null; do sleep 0.1; done
		exec erl -noinput +S 1:1 +SDio 1 +A 1 -kernel net_ticktime 15 -name "$@"`
	return h.Daemons(t, "erl", []string{"HOME=/var/lib"}, append([]string{"sh", "-c", start, "sh", name}, args...)...)
}

func (h *Host) begin(t testing.TB, name string, env, args []string) *Process {
	t.Helper()
	p, err := h.spawn(name, env, args)
	require.NoError(t, err)
	t.Cleanup(func() { p.Stop(0) })
	return p
}
