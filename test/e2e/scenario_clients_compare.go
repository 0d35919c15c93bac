package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// compareMembers is the command of docs/migrating-from-libcluster.md, as it is found from the directory of a trial.
const compareMembers = "../../docs/compare-members.sh"

// comparison is one use of it.
type comparison struct {
	what string
	args string // after those that say whose members they are
	code int
	says []string // parts of what it prints
	env  []string
}

// tryCompare has the command compare what libcluster would list with what CoreDNS answers, in each mode and with each
// lookup: the same, not the same, and what cannot be compared.
func tryCompare(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.everywhere(ns, pods)
	t.service(ns, "shop")
	for _, name := range []string{"shop-0", "shop-1", "shop-2", "shop-ended"} {
		t.pod(ns, "shop", name, "", hosted("shop"))
	}
	members := t.podsOf(ns, "shop", 4)[:3]
	t.must(setPhase(t.ctx, t.client, ns, "shop-ended", corev1.PodSucceeded))
	t.endpoints(ns, "shop", 3)
	zones := make([]string, 0, 2*len(anyMode))
	blocks := make([]string, 0, cap(zones)+2)
	blocks = append(blocks,
		t.snippet(migratingPage, "Option by option", "corefile", ns),
		"other.erl.internal {\n    longnames {\nnamespaces "+ns+"\nselector app=shop\nbasename other\n}\n}\n")
	for _, mode := range anyMode {
		for _, of := range []resources{endpointSlices, pods} {
			zone := mode + "-" + of.lookup() + ".erl.internal"
			zones = append(zones, zone)
			blocks = append(blocks, zone+" {\n    longnames {\nnamespaces "+ns+"\nselector app=shop\nbasename shop\nmode "+mode+"\nlookup "+of.lookup()+"\n}\n}\n")
		}
	}
	t.serveBlocks(blocks...)
	for i, mode := range anyMode {
		hosts := hostsOf(members, mode, "cluster.local")
		for j, of := range []resources{endpointSlices, pods} {
			zone := zones[2*i+j]
			t.wants(zone, "TXT", longnames("shop", hosts)...)
			says := append([]string{"The same 3 members in Kubernetes and in DNS:\n"}, longnames("    shop", hosts)...)
			if of == pods {
				says = append(says, "left out, for its pod has ended: shop@")
			}
			t.compares(ns, comparison{what: zone, args: "-m " + mode + " -k " + of.lookup() + " -s shop " + zone, says: says})
		}
	}
	t.compares(ns, comparison{what: "as the page has it", args: "-m hostname -s shop shop.erl.internal", says: []string{"The same 3 members"}})
	t.compares(ns, comparison{what: "another basename", args: "-w 0 other.erl.internal", code: 1, says: []string{
		"Not the same: 3 members in Kubernetes, 3 in DNS.\n",
		"only in Kubernetes: shop@" + members[0].Status.PodIP + "\n",
		"only in DNS:        other@" + members[0].Status.PodIP + "\n",
	}})
	for _, c := range []comparison{
		{what: "another mode", args: "-w 0 -m dns ip-pods.erl.internal", code: 1, says: []string{"Not the same"}},
		{what: "no such name", args: "nobody.other.erl.internal", code: 2, says: []string{"NXDOMAIN"}},
		{what: "no such members", args: "-l app=nobody ip-pods.erl.internal", code: 2, says: []string{"none that is a member"}},
		{what: "no name", args: "-m ip", code: 2, says: []string{"usage: "}},
		{what: "no service", args: "-m hostname hostname-pods.erl.internal", code: 2, says: []string{"mode hostname needs -s SERVICE"}},
		{what: "an unknown mode", args: "-m fqdn ip-pods.erl.internal", code: 2, says: []string{"expected -m ip, dns or hostname, got fqdn"}},
		{what: "an unknown lookup", args: "-k nodes ip-pods.erl.internal", code: 2, says: []string{"expected -k endpoints or pods, got nodes"}},
		{what: "no API server", args: "ip-pods.erl.internal", code: 2, says: []string{"cannot list endpoints"}, env: []string{"KUBECTL=" + t.binary + " kubectl --server http://127.0.0.1:1"}},
		{what: "no DNS server", args: "ip-pods.erl.internal", code: 2, says: []string{"ip-pods.erl.internal. TXT: "}, env: []string{"DIG=dig @127.0.0.1 -p 1 +tries=1 +time=1"}},
	} {
		t.compares(ns, c)
	}
	// It waits for what is on its way: the pod is in Kubernetes at once, and in the answer when this member is read.
	t.pod(ns, "shop", "shop-3", "", hosted("shop"))
	t.compares(ns, comparison{what: "one more", args: "-w 30 ip-endpoints.erl.internal", says: []string{"The same "}})
	_, err := t.client.CoreV1().Pods(ns).Get(t.ctx, "shop-3", metav1.GetOptions{})
	t.must(err)
}

// compares runs the command where kubectl finds the API server and dig finds CoreDNS.
func (t *trial) compares(ns string, c comparison) {
	ctx, cancel := context.WithTimeout(t.ctx, outputTime)
	defer cancel()
	args := append([]string{"netns", "exec", t.plane.name, compareMembers, "-n", ns, "-l", "app=shop", "-b", "shop"}, strings.Fields(c.args)...)
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.dir, "KUBECTL="+strings.Join(t.kubectlCommand(), " "), "DIG=dig @"+t.server.v4)
	cmd.Env = append(cmd.Env, c.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := spawn(cmd, births())
	if err == nil {
		err = cmd.Wait()
	}
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.must(err)
	}
	if code != c.code {
		t.failf("compare-members, %s: exit code %d, want %d: %s", c.what, code, c.code, tail(out.String()))
	}
	for _, part := range c.says {
		if !strings.Contains(out.String(), part) {
			t.failf("compare-members, %s: %q is not in %s", c.what, part, tail(out.String()))
		}
	}
	t.note("compare-members, %s: exit code %d", c.what, code)
}
