package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// life is about what happens to a cluster that lives. In most tests somebody asks all the time, and never gets an answer that
// would tear the cluster apart.
func (b bed) life(t *testing.T) {
	b.withoutNode(t)
	b.each(t, []leaf{
		{"Scale", (*own).scale},
		{"RollingUpdate", (*own).rollingUpdate},
		{"Readiness", (*own).readiness},
		{"ReadinessOfPods", (*own).readinessOfPods},
		{"AskerIsIn", (*own).askerIsIn},
		{"TerminatingEndpoints", func(o *own) { o.terminating("endpoints") }},
		{"TerminatingPods", func(o *own) { o.terminating("pods") }},
		{"EndedPods", (*own).endedPods},
		{"StatefulSetPodReplaced", (*own).replaced},
	})
}

// leaf is a test with a CoreDNS of its own.
type leaf struct {
	name string
	try  func(*own)
}

// each has tests run beside each other.
func (b bed) each(t *testing.T, leaves []leaf) {
	t.Helper()
	for _, l := range leaves {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			o := b.own(t)
			l.try(o)
			o.end()
		})
	}
}

// block is one with selector app=shop and basename shop.
func block(zones string, options ...string) string {
	return "longnames " + zones + " {\nselector app=shop\nbasename shop\n" + strings.Join(options, "\n") + "\n}\n"
}

// shop makes members, and CoreDNS for them. It has no hold: for its time, that would hide that the members were lost.
func (o *own) shop(kind string, replicas int, spec string) {
	o.Helper()
	o.grant("endpointslices", o.namespace)
	o.workload(o.namespace, kind, replicas, spec)
	o.members(o.namespace, replicas)
	o.serve(block("shop.erl.internal", "hold 0"))
}

// settles waits until the cluster is what Kubernetes has.
func (o *own) settles(n int) []corev1.Pod {
	o.Helper()
	pods := o.members(o.namespace, n)
	o.wantsCluster("shop.erl.internal", "shop", addresses(pods), addresses(pods))
	return pods
}

func (o *own) scale() {
	o.shop("Deployment", 3, "")
	first := addresses(o.settles(3))
	for _, tt := range []struct {
		to, least int
		always    []string
	}{{10, 3, first}, {2, 2, nil}} {
		stop := o.steady("SRV", tt.least, tt.always...)
		o.Kubectl(o.T, "-n", o.namespace, "scale", "deployment/shop", fmt.Sprint("--replicas=", tt.to))
		o.settles(tt.to)
		stop()
	}
}

func (o *own) rollingUpdate() {
	o.shop("Deployment", 5, "")
	before := addresses(o.settles(5))
	// By default a Deployment keeps three quarters of its pods available, which is 4 of 5.
	stop := o.steady("TXT", 4)
	o.Kubectl(o.T, "-n", o.namespace, "rollout", "restart", "deployment/shop")
	o.rolledOut(o.T, o.namespace, "deployment/shop")
	for _, a := range addresses(o.settles(5)) {
		if slices.Contains(before, a) {
			o.Errorf("%s is an address from before", a)
		}
	}
	stop()
}

// ready has the probe of a pod succeed or fail.
func (o *own) ready(pod string, yes bool) {
	o.Helper()
	if yes {
		o.exec(pod, "touch /tmp/ready")
	} else {
		o.exec(pod, "rm /tmp/ready")
	}
}

func (o *own) readiness() {
	o.shop("StatefulSet", 3, idle)
	all := addresses(o.settles(3))
	stop := o.steady("A", 1)
	listed := func(want ...string) { o.Helper(); o.wants("shop.erl.internal", "A", want...) }

	o.ready("shop-0", false)
	listed(all[1], all[2])
	// The name of a single node does not depend on it.
	o.wants("shop-0.shop.erl.internal", "A", all[0])
	o.ready("shop-0", true)
	listed(all...)
	// One after the other, until nobody is ready, so that all are members.
	o.ready("shop-0", false)
	o.ready("shop-1", false)
	listed(all[2])
	o.ready("shop-2", false)
	o.wantsCluster("shop.erl.internal", "shop", all, all)
	o.ready("shop-1", true)
	listed(all[1])
	o.ready("shop-0", true)
	o.ready("shop-2", true)
	listed(all...)
	// All at once.
	var g errgroup.Group
	for i := range all {
		g.Go(func() error {
			_, err := o.TryKubectl(o.Context(), "-n", o.namespace, "exec", fmt.Sprint("shop-", i), "--", "rm", "/tmp/ready")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		o.Fatal(err)
	}
	cluster.Eventually(o.T, patience, "no endpoint is ready", func() error {
		list, err := o.Client.DiscoveryV1().EndpointSlices(o.namespace).List(o.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if *e.Conditions.Ready {
					return fmt.Errorf("%s is", e.Addresses)
				}
			}
		}
		return nil
	})
	o.wantsCluster("shop.erl.internal", "shop", all, all)
	o.ready("shop-1", true) // this tells that it was seen
	listed(all[1])
	stop()
}

// readinessOfPods: looked up as pods, all are members by default, ready or not, and with include ready only some: without hold
// at once. Else those that fail are suspect.
func (o *own) readinessOfPods() {
	o.grant("pods", o.namespace)
	o.workload(o.namespace, "StatefulSet", 3, strings.Replace(idle, "readinessProbe", "env: [{name: UNREADY, value: x}]\n      readinessProbe", 1))
	all := addresses(o.members(o.namespace, 3))
	o.serve(block("all.erl.internal", "lookup pods") + block("ready.erl.internal", "lookup pods\ninclude ready\nhold 0") +
		block("suspects.erl.internal", "lookup pods\ninclude ready\nhold 1h"))
	listed := func(zone string, want ...string) { o.Helper(); o.wants(zone+".erl.internal", "A", want...) }
	listed("all", all...)
	listed("ready", all...) // never nobody
	listed("suspects", all...)
	o.ready("shop-1", true)
	listed("ready", all[1])
	// What comes later tells that this block has seen it, too. It has never been listed.
	const address = "10.1.0.5"
	o.object(o.namespace, "shop", "later", false, address)
	later := append(slices.Clip(all), address)
	listed("all", later...)
	listed("suspects", all...)
	o.ready("shop-2", true)
	listed("ready", all[1], all[2])
	listed("suspects", all...)
	o.ready("shop-0", true)
	o.SetReady(o.T, o.namespace, "later", true)
	listed("ready", later...)
	listed("suspects", later...)
	o.ready("shop-0", false)
	listed("ready", later[1:]...)
	listed("suspects", later...)
}

// askerIsIn asks as a pod that is not ready: for itself, and for nobody else, it is a member.
func (o *own) askerIsIn() {
	o.shop("StatefulSet", 3, idle)
	all := addresses(o.settles(3))
	o.ready("shop-0", false)
	o.wants("shop.erl.internal", "A", all[1], all[2])
	slices.Sort(all)
	for _, options := range []string{"[]", "[{usevc,true}]"} {
		if got := o.inetRes(o.namespace, "shop-0", `inet_res:lookup("shop.erl.internal.",in,a,`+options+`)`, "inet:ntoa(X)"); !slices.Equal(got, all) {
			o.Errorf("%s: the one that is not ready got %q, want %q", options, got, all)
		}
	}
}

// inetRes has OTP's resolver in a pod ask CoreDNS, and returns the values.
func (o *own) inetRes(namespace, pod, call, format string) []string {
	o.Helper()
	address, port, _ := strings.Cut(o.server, ":")
	server := "{{" + strings.ReplaceAll(address, ".", ",") + "}," + port + "}"
	out := o.Kubectl(o.T, "-n", namespace, "exec", pod, "--", "env", "HOME=/tmp", "erl", "-noinput", "-eval",
		`ok=inet_db:res_option(resolv_conf,""),ok=inet_db:res_option(nameservers,[`+server+`]),`+
			`[io:format("~s ",[`+format+`])||X<-`+call+`],halt().`)
	return slices.Sorted(slices.Values(strings.Fields(out)))
}

// terminating has pods that take their time to end, which differ in being ready meanwhile.
func (o *own) terminating(lookup string) {
	o.grant(looksAt(lookup), o.namespace)
	o.workload(o.namespace, "StatefulSet", 4, "\n    terminationGracePeriodSeconds: 600"+idle)
	all := addresses(o.members(o.namespace, 4))
	includes := []string{"ready", "serving", "all"}
	var blocks strings.Builder
	for _, include := range includes {
		blocks.WriteString(block(include+".erl.internal", "lookup "+lookup, "include "+include))
	}
	o.serve(blocks.String())
	// Each zone is a block of its own. That it has seen all that was before, a pod that comes later tells: where the right
	// answer is with that one, it cannot be the one before.
	var later []string
	are := func(want ...[]string) {
		o.Helper()
		later = append(later, fmt.Sprint("10.1.0.", 10+len(later)))
		o.object(o.namespace, "shop", fmt.Sprint("later-", len(later)), true, later[len(later)-1])
		for i, include := range includes {
			o.wants(include+".erl.internal", "A", slices.Concat(want[i], later)...)
		}
	}
	are(all, all, all)
	// The StatefulSet would put another in its place.
	o.Kubectl(o.T, "-n", o.namespace, "delete", "statefulset/shop", "--cascade=orphan")
	o.Kubectl(o.T, "-n", o.namespace, "delete", "pod/shop-0", "--wait=false")
	are(all[1:], all, all) // terminating, but serves
	o.ready("shop-0", false)
	are(all[1:], all[1:], all) // and serves no longer
	o.ready("shop-1", false)
	are(all[2:], all[2:], all) // neither ready nor terminating
	o.exec("shop-0", "touch /tmp/end")
	o.wants("all.erl.internal", "A", slices.Concat(all[1:], later)...)
	o.wants("shop-0.all.erl.internal", "A", "NXDOMAIN")
}

// endedPods have addresses that others take over, as a network plugin may give them out. What a kubelet would say of them is
// played: nobody can have it give out a certain address.
func (o *own) endedPods() {
	o.grant("pods", o.namespace)
	all := []string{"10.1.0.10", "10.1.0.11", "10.1.0.12"}
	for i, a := range all {
		o.object(o.namespace, "shop", fmt.Sprint("shop-", i), true, a)
	}
	o.serve(block("shop.erl.internal 10.0.0.0/8", "lookup pods") + "longnames apps.erl.internal {\nlookup pods\ngroup_by app\n}")
	apps := func(name string) string { return name + "." + o.namespace + ".apps.erl.internal" }
	o.wants("shop.erl.internal", "A", all...)
	for i, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		o.UpdatePodStatus(o.T, o.namespace, fmt.Sprint("shop-", i), func(s *corev1.PodStatus) { s.Phase = phase })
	}
	o.wants("shop.erl.internal", "A", all[2])
	// One address goes to a pod of the same app, the other to one of another.
	o.object(o.namespace, "shop", "shop-3", true, all[0])
	o.object(o.namespace, "cart", "cart-0", true, all[1])
	o.wants("shop.erl.internal", "A", all[0], all[2])
	o.wants("shop-3.shop.erl.internal", "A", all[0])
	o.wants("shop-0.shop.erl.internal", "A", "NXDOMAIN")
	o.wants(apps("cart"), "TXT", "cart@"+all[1])
	o.wants(apps("shop"), "TXT", "shop@"+all[0], "shop@"+all[2])
	// That the old ones are removed changes nothing.
	o.Kubectl(o.T, "-n", o.namespace, "delete", "pod/shop-0", "pod/shop-1")
	const last = "10.1.0.5" // what comes later tells that both blocks have seen it
	o.object(o.namespace, "shop", "later", true, last)
	o.wants("shop.erl.internal", "A", all[0], all[2], last)
	o.wants(apps("shop"), "A", all[0], all[2], last)
	o.wants(apps("cart"), "TXT", "cart@"+all[1])
}

func (o *own) replaced() {
	o.grant("endpointslices", o.namespace)
	o.workload(o.namespace, "StatefulSet", 3, "")
	before := addresses(o.members(o.namespace, 3))
	o.serve(block("shop.erl.internal 10.0.0.0/8", "mode hostname", "cluster_domain shop.erl.internal", "hold 0"))
	var hosts []string
	for i := range 3 {
		hosts = append(hosts, fmt.Sprintf("shop-%d.shop.%s.svc.shop.erl.internal", i, o.namespace))
	}
	o.wantsCluster("shop.erl.internal", "shop", hosts, before)
	stop := o.steady("SRV", 2, hosts[0], hosts[2])
	o.Kubectl(o.T, "-n", o.namespace, "delete", "pod/shop-1")
	after := addresses(o.members(o.namespace, 3))
	if after[1] == before[1] {
		o.Fatalf("shop-1 has the address %s again", after[1])
	}
	o.wantsCluster("shop.erl.internal", "shop", hosts, after)
	o.wants(hosts[1], "A", after[1])
	o.wants(o.reverse(after[1]), "PTR", hosts[1])
	o.wants(o.reverse(before[1]), "PTR", "NXDOMAIN")
	stop()
}

func (o *own) reverse(address string) string {
	name, err := dns.ReverseAddr(address)
	if err != nil {
		o.Fatal(err)
	}
	return name
}
