package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// outsider makes a namespace for somebody who asks but is no pod.
func (t *trial) outsider() string { return t.asker(t.address("4", 5)) }

// asker makes a namespace for somebody who asks from an address.
func (t *trial) asker(from string) string {
	name := t.netns(fmt.Sprintf("c%d", t.number))
	address := netip.MustParseAddr(from)
	t.must(newPodNetns(t.ctx, t.plane.name, name, fmt.Sprintf("c%d", t.number), []netip.Addr{address}))
	t.must(writeEtc(name, machineEtc(t.server.addresses([]netip.Addr{address}))))
	t.cleanup(func() { _ = t.removeNetns(name) })
	return name
}

// linesOf has a function of one of our modules do something some times within one VM, and gives the line that it prints of each.
func (t *trial) linesOf(namespace string, env []string, what string, times int, module, function string, args ...string) []string {
	command := slices.Concat([]string{"erl", "-noinput", "+S", "1:1", "-pa", t.beam(), "-s", module, function, "-extra", strconv.Itoa(times)}, args)
	text, err := output(t.ctx, namespace, append([]string{"HOME=" + t.dir}, env...), command...)
	t.must(err)
	t.keep(what, what+": "+text)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != times {
		t.failf("%s: %d answers, want %d: %s", what, len(lines), times, tail(text))
	}
	return lines
}

// inetRes asks some times within one VM, and wants exactly these values each time.
func (t *trial) inetRes(namespace, name string, want []string, times int, call, qtype, options string) {
	what := fmt.Sprintf("inet_res:%s %s %s %s", call, name, qtype, options)
	lines := t.linesOf(namespace, nil, what, times, "cluster", "ask", call, qtype, name+".", options)
	for i, line := range lines {
		values, ok := strings.CutPrefix(line, "GOT ")
		if !ok {
			t.failf("%s: got %s", what, tail(line))
		}
		t.must(same(fmt.Sprintf("%s, answer %d", what, i+1), strings.Fields(values), want))
	}
	t.note("%s: %d values, %d times", what, len(want), times)
}
