package node

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// faults is a cluster of BEAM nodes that live through faults. They find each other through the cluster's DNS.
type faults struct {
	*bed
	questions []*watch.Question
	pods      []corev1.Pod
}

const (
	faultTime = 12 * time.Second
	hold      = 30 * time.Second // of deploy/, which is the default
	announced = time.Second      // how long those may be answered whose end has been announced
	size      = 5
)

// TestFaults is about what is answered, and whom nodes lose, while parts of the cluster fail. OutOfMemory,
// APIServerAway, EvictionByKubelet and Lost are faults, too. Package faults has more, with processes in place of pods.
func TestFaults(t *testing.T) {
	together(t, calm)
	f := &faults{bed: start(t)}
	f.own()
	const probe = "readinessProbe: {exec: {command: [test, '!', -e, /tmp/fails]}, periodSeconds: 2, failureThreshold: 1}"
	// A node that joins or ends on a busy machine may lose one of the others, and OTP would have all others leave that one.
	// Whom nodes lose here, they lose by an answer. With OTP's default, they live on in TestClients.
	const flags = `- {name: ERL_FLAGS, value: "-kernel prevent_overlapping_partitions false"}`
	f.workload("StatefulSet", size, beam("      "+flags+"\n      "+probe+"\n"))
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		f.questions = append(f.questions, &watch.Question{Name: "shop." + f.namespace + ".svc.erl.internal", Type: qtype})
	}
	const api = "kube-apiserver"
	start := func() { f.Restart(f.T, api); f.Back(f.T) }
	freeze := func() { f.Part(api).Signal(syscall.SIGSTOP) }
	thaw := func() { f.Part(api).Signal(syscall.SIGCONT); f.Back(f.T) }
	heal := func() { f.filter("") }
	cut := func(what string) func() { return func() { f.cut(what) } }
	const bind = `patch clusterrolebinding longnames --type=json -p [{"op":"replace","path":"/subjects/0/name","value":%q}]`
	for _, row := range []struct {
		name     string
		restarts bool // CoreDNS: some questions have to be asked once more
		try      func()
	}{
		{"APIServerKilled", false, f.through(func() { f.Part(api).Stop(0) }, start)},
		{"APIServerFrozen", false, f.through(freeze, thaw)},
		{"ConnectionsCut", false, f.through(cut("reject with tcp reset"), heal)},
		{"PacketsLost", false, f.through(cut("drop"), heal)},
		{"Forbidden", false, f.through(func() { f.kubectl(bind, "nobody"); f.refused(heal) }, func() {
			begin := time.Now()
			f.kubectl(bind, "longnames")
			f.says(begin, `API server grants access again`)
		})},
		{"CoreDNSKilled", true, f.through(f.killed, func() {})},
		{"RolledWhileCutOff", true, f.through(f.rolled, func() { heal(); f.at("longnames").rolledOut("deployment/longnames") })},
		{"ProbesFail", false, f.probes},
		{"MostLoseLabel", false, f.labels},
		{"VanishUnannounced", false, f.vanish},
		{"AllRecreated", false, func() { f.scale(0); time.Sleep(faultTime); f.scale(size) }},
	} {
		f.run(row.name, func(b *bed) {
			defer func(all *bed) { f.bed = all }(f.bed)
			f.bed = b
			f.filter("") // the row before may have failed
			f.kubectl("scale statefulset/shop --replicas=%d", size)
			f.pods = f.mesh("shop", "ip", "", size)
			f.seen(hold + announced)
			begin := time.Now()
			checker := watch.Checker{From: f.Nodes[0], Servers: []string{cluster.ClusterDNS}, Questions: f.questions, Rate: 100,
				Retried: row.restarts, Again: row.restarts}
			checker.Start(f.Context())
			row.try()
			found := checker.End()
			f.Logf("%d questions, %s answers wrong, the latest after %s", found.Asked, found.Kinds(), found.Longest)
			assert.NoError(f, found.Err())
			assert.GreaterOrEqual(f, found.Rate(), 80.0, "questions a second")
			for _, pod := range f.pods {
				said := "\n" + f.kubectl("logs %s --since-time=%s", pod.Name, begin.Format(time.RFC3339))
				for _, other := range f.pods {
					lost := regexp.MustCompile(`\n(DOWN|DROPPED) .*shop@` + other.Status.PodIP + `\b.*`)
					assert.Empty(f, lost.FindString(said), "%s has lost one that lives", pod.Name)
				}
			}
			f.notDropped(begin)
		})
	}
}

// through has a fault come and go, and a member come and go after it.
func (f *faults) through(strike, heal func()) func() {
	return func() {
		strike()
		time.Sleep(faultTime)
		heal()
		f.scale(size + 1)
		f.scale(size)
	}
}

// filter drops or rejects packets between pods and the API server, until it is called with nothing.
func (f *faults) filter(what string) {
	rules := "add table inet faults; delete table inet faults" // whether it is there or not
	if what != "" {
		rules += "; add table inet faults { chain pods { type filter hook forward priority -10; " +
			"tcp dport 6443 counter " + what + "; tcp sport 6443 counter " + what + "; }; }"
	}
	for _, n := range f.Nodes {
		_, err := n.Run(f.Context(), "nft", rules)
		require.NoError(f, err)
	}
}

// cut does so, and waits until that meets packets, of which there may be none for half a minute where nothing changes.
func (f *faults) cut(what string) {
	f.filter(what)
	f.kubectl("annotate --overwrite endpointslices --all e2e.longnames.dev/at=%d", time.Now().UnixNano())
	f.eventually("packets meet the filter on all nodes with CoreDNS", func() error {
		for _, pod := range f.ours() {
			out, err := f.node(pod).Run(f.Context(), "nft", "list", "table", "inet", "faults")
			if err == nil && !met.MatchString(out) {
				err = errors.New(out)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

var met = regexp.MustCompile(`counter packets [1-9]`)

// refused waits until the API server refuses CoreDNS, and has it ask: a watch that is there goes on without the right.
func (f *faults) refused(heal func()) {
	f.eventually("CoreDNS may not read", func() error {
		out, err := f.try("auth can-i watch endpointslices.discovery.k8s.io -A --as=system:serviceaccount:longnames:longnames")
		if strings.HasPrefix(out, "no") {
			return nil
		}
		return errors.Join(fmt.Errorf("got %q, want no", out), err)
	})
	begin := time.Now()
	f.cut("reject with tcp reset")
	heal()
	f.says(begin, `API server forbids `)
}

// killed kills each CoreDNS, and waits until it runs again.
func (f *faults) killed() {
	dns := f.at("longnames")
	for _, pod := range f.ours() {
		f.mustOnNode(pod, `kill -KILL "$pid"`)
		count := pod.Status.ContainerStatuses[0].RestartCount + 1
		dns.wait("pod/"+pod.Name, fmt.Sprintf("jsonpath={.status.containerStatuses[0].restartCount}=%d", count))
		dns.wait("pod/"+pod.Name, "condition=Ready")
	}
}

// rolled has a new CoreDNS not reach the API server: it is not ready, and replaces none that knows the members.
func (f *faults) rolled() {
	f.filter("drop")
	dns := f.at("longnames")
	dns.kubectl("rollout restart deployment/longnames")
	time.Sleep(faultTime)
	assert.Equal(f, "3 2", dns.get("deployment/longnames", ".status['replicas','readyReplicas']"))
}

// probes has some nodes, all, and then none fail their probes. With deploy/, all are listed always.
func (f *faults) probes() {
	for _, n := range []int{size / 2, size, 0} {
		for i, pod := range f.pods {
			f.exec(pod.Name, "sh", "-c", map[bool]string{true: ">/tmp/fails", false: "rm -f /tmp/fails"}[i < n])
		}
		for i, pod := range f.pods {
			f.wait("pod/"+pod.Name, fmt.Sprintf("condition=Ready=%t", i >= n))
		}
		time.Sleep(faultTime / 3)
	}
}

// labels has most nodes lose the label of their cluster for longer than hold.
func (f *faults) labels() {
	begin := time.Now()
	f.kubectl("label --overwrite pod shop-0 shop-1 shop-2 app=lost")
	f.missed(begin)
	time.Sleep(hold + faultTime)
	f.kubectl("label --overwrite pod shop-0 shop-1 shop-2 app=shop")
	f.mesh("shop", "ip", "", size)
}

// vanish has nodes end while the controller of EndpointSlices is stopped, so that these never say so. Others come in
// their place.
func (f *faults) vanish() {
	begin := time.Now()
	f.expect(f.pods[2:])
	f.Part("kube-controller-manager").Stop(0)
	f.kubectl("delete pod shop-0 shop-1 --force --grace-period=0")
	f.Restart(f.T, "kube-controller-manager")
	f.missed(begin)
	begin = time.Now()
	f.pods = f.running("shop", size)
	f.seen(time.Until(begin.Add(hold + announced)))
	f.mesh("shop", "ip", "", size)
}

// missed waits until each CoreDNS has said that nodes are missing.
func (f *faults) missed(since time.Time) {
	f.says(since, "Cluster "+f.questions[0].Name+`\.: members have vanished without notice`)
}

// says waits until each CoreDNS has said what matches a pattern.
func (f *faults) says(since time.Time, pattern string) {
	for _, pod := range f.ours() {
		f.prints(pattern, "-n longnames logs %s --since-time=%s", pod.Name, since.Format(time.RFC3339))
	}
}

// expect accepts all answers that have some nodes.
func (f *faults) expect(pods []corev1.Pod) {
	for _, q := range f.questions {
		q.Expect(watch.AtLeast(max(len(pods), 1), right(q, pods)...))
	}
}

func right(q *watch.Question, pods []corev1.Pod) []string {
	return hosts("ip", pods, "", map[string]string{"TXT": "shop@"}[q.Type])
}

// scale makes the cluster larger or smaller. Those that go announce that, and are gone when their pods are; but the
// last stay.
func (f *faults) scale(n int) {
	stay := min(n, len(f.pods))
	gone := f.pods[stay:]
	f.pods = f.pods[:stay]
	f.expect(f.pods)
	f.kubectl("scale statefulset/shop --replicas=%d", n)
	f.gone(gone)
	if n > stay {
		f.pods = f.mesh("shop", "ip", "", n)
	}
	if n > 0 {
		f.seen(announced)
	}
}

// seen waits until answers have the nodes, and accepts nothing else from then on. It asks often, for each question
// may be to another CoreDNS, and again what is lost on the way to one that has ended: the checker judges that.
func (f *faults) seen(patience time.Duration) {
	resolver := watch.Resolver{From: f.Nodes[0], Servers: []string{cluster.ClusterDNS}, Ports: true}
	cluster.Eventually(f.T, patience, "the answers are right", func() error {
		for i := range 10 * len(f.questions) {
			q := f.questions[i%len(f.questions)]
			m, err := resolver.Ask(f.Context(), q.Name, q.Type)
			if err == nil {
				err = watch.Same(q.Name+" "+q.Type, watch.Values(m), right(q, f.pods))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, q := range f.questions {
		q.Expect(watch.Exactly(right(q, f.pods)))
	}
}
