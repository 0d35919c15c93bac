package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// elixirPath has Elixir's own modules, as Debian's package has them.
const elixirPath = "/usr/lib/elixir/lib/elixir/ebin"

// compiledElixir compiles the module that a section of a page prints, and gives erl's arguments for it.
func (t *trial) compiledElixir(page, section string) []string {
	all, err := snippets(page)
	t.must(err)
	dir := filepath.Join(t.dir, "elixir")
	t.must(os.MkdirAll(dir, 0o755))
	found := 0
	for _, s := range all {
		if s.section == section && strings.Contains(s.text, "\ndefmodule ") {
			t.elixirc(dir, s.text)
			found++
		}
	}
	if found != 1 {
		t.failf("%s, section %q: %d modules, want 1", filepath.Base(page), section, found)
	}
	return []string{"-pa", dir, "-pa", elixirPath}
}

// elixirc compiles a module into a directory.
func (t *trial) elixirc(dir, text string) {
	file := filepath.Join(dir, "module.ex")
	t.must(os.WriteFile(file, []byte(text), 0o600))
	if out, err := toEndOf(exec.CommandContext(t.ctx, "elixirc", "--warnings-as-errors", "-o", dir, file)); err != nil {
		t.failf("elixirc: %w: %s", err, out)
	}
}

// outage is a way in which DNS can fail.
type outage struct {
	what  string
	begin func(t *trial)
}

var outages = []outage{
	{"CoreDNS hangs", func(t *trial) { t.server.process.signal(syscall.SIGSTOP) }},
	{"CoreDNS is stopped", func(t *trial) {
		t.server.process.signal(syscall.SIGCONT)
		t.server.process.stop(endTime)
	}},
	{"it answers SERVFAIL", func(t *trial) { t.server.serve("template ANY ANY {\nrcode SERVFAIL\n}") }},
	{"it answers NXDOMAIN", func(t *trial) { t.restarted("template ANY ANY {\nrcode NXDOMAIN\n}") }},
	{"it answers that there is no such record", func(t *trial) { t.restarted("template ANY ANY {\nrcode NOERROR\n}") }},
	{"it has no zone, and refuses", func(t *trial) { t.restarted("") }},
}

// restarted has CoreDNS start anew, with something else.
func (t *trial) restarted(plugins string) {
	t.server.process.stop(endTime)
	t.server.serve(plugins)
}

// tryResolver has nodes ask as libcluster's strategies do with the resolver of docs/clients.md, while DNS fails in each
// way. They stay connected. When it is back, they find one that was started meanwhile, and miss one that has ended.
func tryResolver(t *trial) {
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.erlangConfig(ns)
	p := t.page("ip", "4", ns)
	zone := p.zones[zoneMode] + "."
	t.serveBlocks(p.blocks[0])
	kinds := []string{"remembered_srv", "remembered_a", "remembered_all"}
	var started atomic.Int32
	t.policy(ns, podPolicy{process: t.release(p.lines, func([]string) []string {
		return []string{kinds[int(started.Add(1)-1)%len(kinds)], zone, "shop"}
	}, t.compiledElixir(clientsPage, "Remember the last answer")...)})
	t.applyText("shop", p.manifest)
	n := &nodes{basename: "shop", mode: "ip"}
	pods := t.podsOf(ns, "shop", 3)
	t.mesh(n, pods)
	from := t.outsider()
	for _, o := range outages {
		o.begin(t)
		t.note("%s", o.what)
		t.finds(from, nil, "libcluster Kubernetes.DNSSRV", zone, "shop", nil, 1) // without the resolver, nobody is there
		t.polled(pods, 2)
		t.mesh(n, pods)
		if lost := t.losses(); len(lost) > 0 {
			t.failf("%s, and nodes have lost others: %v", o.what, lost)
		}
	}
	t.scale("deployments", ns, 4)
	pods = t.podsOf(ns, "shop", 4)
	t.server.process.stop(endTime)
	t.serveBlocks(p.blocks[0])
	t.mesh(n, pods)
	if lost := t.losses(); len(lost) > 0 {
		t.failf("CoreDNS is back, and nodes have lost others: %v", lost)
	}
	t.scale("deployments", ns, 3)
	t.mesh(n, t.podsOf(ns, "shop", 3))
}

// polled waits until each node has asked some times more.
func (t *trial) polled(pods []corev1.Pod, times int) {
	said := func(pod corev1.Pod) int {
		process, _ := t.kubelet.process(pod.UID)
		if process == nil {
			return 0
		}
		return strings.Count(process.output(), "\nFOUND ")
	}
	before := make(map[string]int)
	for _, pod := range pods {
		before[pod.Name] = said(pod)
	}
	t.within(2*time.Minute, fmt.Sprintf("each node has asked %d times", times), func() error {
		var err error
		for _, pod := range pods {
			if now := said(pod); now < before[pod.Name]+times {
				err = errors.Join(err, fmt.Errorf("%s: %d", pod.Name, now-before[pod.Name]))
			}
		}
		return err
	})
}
