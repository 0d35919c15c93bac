// Package process tests CoreDNS as a process, which watches a real control plane. Pods are objects alone.
package process

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// patience is how long a busy machine may take for what takes seconds.
const patience = 2 * time.Minute

// bed is what a test has: a control plane, which all tests share, and of its own a part of the network and namespaces.
type bed struct {
	*cluster.Cluster
	part          int
	name          string
	prod, account string // a namespace, and the directory of CoreDNS' service account
}

func TestProcess(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	for i, tt := range []struct {
		name string
		test func(t *testing.T, b *bed)
	}{
		{"Monitoring", monitoring},
		{"MonitoringRules", monitoringRules},
		{"Secondaries", secondaries},
		{"Resolvers", resolvers},
		{"RightsOneNamespace", func(t *testing.T, b *bed) { enoughRights(t, b, endpointSlices, false) }},
		{"RightsAllNamespaces", func(t *testing.T, b *bed) { enoughRights(t, b, pods, true) }},
		{"RightsMissingList", missingList},
		{"RightsMissingWatch", missingWatch},
		{"RightsWithdrawn", withdrawnRights},
		{"RightsUnreadNamespace", unreadNamespace},
		{"LeftOut", leftOut},
		{"OwnNames", ownNames},
		{"NotReady", notReady},
		{"Typos", typos},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, &bed{Cluster: c, part: i + 1, name: strings.ToLower(tt.name)})
		})
	}
}

// soon waits until a check finds nothing wrong.
func soon(t testing.TB, what string, check func() error) {
	t.Helper()
	cluster.Eventually(t, patience, what, check)
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// write writes a file, and returns its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// resources are what CoreDNS looks up, and listWatch all the verbs that it needs.
type resources struct{ lookup, group, name string }

var (
	endpointSlices = resources{"endpoints", "discovery.k8s.io", "endpointslices"}
	pods           = resources{"pods", "", "pods"}
)

const listWatch = "list, watch"

// open makes a namespace with a headless Service shop, and an account that has some rights there.
func (b *bed) open(t *testing.T, of resources, verbs string) {
	t.Helper()
	b.prod, b.account = b.namespace(t, "prod"), t.TempDir()
	b.Account(t, b.prod, "coredns", b.account)
	b.grant(t, b.prod, b.prod, of, verbs)
	b.CreateService(t, b.prod, "shop")
}

func (b *bed) namespace(t *testing.T, name string) string {
	t.Helper()
	name = b.name + "-" + name
	b.CreateNamespace(t, name)
	return name
}

// grant gives the account in a namespace some verbs of the rights that deploy/ has, so that it cannot be more: in a
// namespace, or without one in all of them.
func (b *bed) grant(t *testing.T, account, namespace string, of resources, verbs string) {
	t.Helper()
	printed := read(t, deploy+"/overlays/standalone-namespaced/rights-prod.yaml")
	if namespace == "" {
		everywhere := deploy + "/components/cluster-rights/clusterrole"
		printed = read(t, everywhere+".yaml") + "---\n" + read(t, everywhere+"binding.yaml")
	}
	replace := []string{
		"- kind: ServiceAccount\n  name: longnames\n  namespace: longnames\n",
		"- kind: ServiceAccount\n  name: coredns\n  namespace: " + account + "\n",
		"  name: longnames\n", "  name: longnames-" + b.name + "\n", // a ClusterRole has no namespace
		"[discovery.k8s.io]", fmt.Sprintf("[%q]", of.group),
		"[endpointslices]", "[" + of.name + "]",
		"[list, watch]", "[" + verbs + "]",
	}
	if namespace != "" {
		replace = append(replace, "  namespace: prod\n", "  namespace: "+namespace+"\n")
	}
	for i := 0; i < len(replace); i += 2 {
		require.Contains(t, printed, replace[i], "what deploy/ has")
	}
	b.Kubectl(t, "apply", "-f", write(t, t.TempDir()+"/rights.yaml", strings.NewReplacer(replace...).Replace(printed)))
}

// block is one of a zone, of the app shop.
func (b *bed) block(zone string, options ...string) string {
	return "longnames " + zone + " {\nservice_account " + b.account + "\nselector app=shop\nbasename shop\n" +
		strings.Join(options, "\n") + "\n}\n"
}

// address is that of a member of the test's network: servers begin at 0, other hosts at 5, and members at 10.
func (b *bed) address(n int) string { return cluster.HostAddress(b.part, n) }

// some formats the addresses of the numbers in [from, to).
func (b *bed) some(from, to int, form string) (out []string) {
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprintf(form, b.address(n)))
	}
	return out
}

// hosted is a pod with a hostname in the Service of its app.
func hosted(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = p.Name, p.Labels["app"] }

// withPort is a pod that declares the port dist.
func withPort(p *corev1.Pod) {
	ports := []corev1.ContainerPort{{Name: "dist", ContainerPort: 9100}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "none", Ports: ports}}
}

// pod creates one of an app that is ready.
func (b *bed) pod(t *testing.T, namespace, app, name, address string, change ...func(*corev1.Pod)) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}}
	for _, c := range change {
		c(p)
	}
	b.CreatePod(t, p, true, address)
}

func shopName(i int) string { return fmt.Sprintf("shop-%d", i) }

// shop creates the pods shop-FROM to before shop-TO, whose addresses are 10 numbers higher.
func (b *bed) shop(t *testing.T, from, to int, change ...func(*corev1.Pod)) {
	t.Helper()
	cluster.Many(t, from, to, func(i int) { b.pod(t, b.prod, "shop", shopName(i), b.address(10+i), change...) })
}

// close deletes such pods again.
func (b *bed) close(t *testing.T, from, to int) {
	t.Helper()
	cluster.Many(t, from, to, func(i int) { b.DeletePod(t, b.prod, shopName(i)) })
}

// service creates the Service of an app, and pods of it with some addresses.
func (b *bed) service(t *testing.T, app string, addresses []string, change ...func(*corev1.Pod)) {
	t.Helper()
	b.CreateService(t, b.prod, app)
	for i, address := range addresses {
		b.pod(t, b.prod, app, fmt.Sprint(app, "-", i), address, change...)
	}
	b.endpoints(t, app, len(addresses))
}

// slice creates an EndpointSlice of an app by hand, with a label tier. It has one endpoint, with some addresses.
func (b *bed) slice(t *testing.T, app, tier string, addresses ...string) {
	t.Helper()
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		GenerateName: app + "-", Labels: map[string]string{"app": app, "tier": tier, discoveryv1.LabelServiceName: app},
	}, Endpoints: []discoveryv1.Endpoint{{Addresses: addresses, Hostname: new("by-hand")}}}
	_, err := b.Client.DiscoveryV1().EndpointSlices(b.prod).Create(t.Context(), s, metav1.CreateOptions{})
	require.NoError(t, err)
}

// endpoints waits until the slices of a Service have so many.
func (b *bed) endpoints(t *testing.T, service string, want int) {
	t.Helper()
	soon(t, "the endpoints are there", func() error {
		out, err := b.TryKubectl(t.Context(), "-n", b.prod, "get", "endpointslices", "-l", "kubernetes.io/service-name="+service,
			"-o", "jsonpath={.items[*].endpoints[*].addresses}")
		if got := len(strings.Fields(out)); err == nil && got != want {
			err = fmt.Errorf("got %d, want %d", got, want)
		}
		return err
	})
}
