package test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	_ "github.com/coredns/coredns/plugin/kubernetes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/fakeapi"
)

// tryKubernetes has our zone lie in that of kubernetes, and both share a reverse zone, among
// the plugins of the Corefile that kubeadm makes, save loop, which may outlive the test. It runs
// in a process of its own: the setup of kubernetes replaces the logger of client-go, while
// goroutines of earlier tests that nobody waits for may still read it.
func tryKubernetes(t *testing.T) {
	const alone = "LONGNAMES_TEST_ALONE"
	if os.Getenv(alone) == "" {
		test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInterplay$/^kubernetes$", "-test.v")
		test.Env = append(os.Environ(), alone+"=1")
		out, err := test.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestInterplay/kubernetes") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	api := fakeapi.New(t)
	service := func(name, address string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "prod"},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: address, ClusterIPs: []string{address},
				Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
			},
		}
	}
	api.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod"}},
		service("web", corev1.ClusterIPNone), service("shop", "10.96.0.7"),
		slice(endpoint("web-0", "10.0.0.1", true)))
	upstream := startResolver(t)
	s := start(t, `.:0 {
		errors
		health `+freeAddress(t)+`
		ready `+freeAddress(t)+`
		longnames erl.cluster.local 10.in-addr.arpa {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			mode hostname
			hold 0
			fallthrough 10.in-addr.arpa
		}
		kubernetes cluster.local in-addr.arpa ip6.arpa {
			endpoint `+api.URL+`
			pods insecure
			fallthrough in-addr.arpa ip6.arpa
			ttl 30
		}
		prometheus `+freeAddress(t)+`
		forward . `+upstream.address+`
		cache 30
		reload
		loadbalance
	}`)
	const host = "web-0.web.prod.svc.cluster.local."
	s.soon(host, "A", "10.0.0.1") // by kubernetes, which starts before it knows anything
	s.wants("erl.cluster.local.", "TXT", "app@web-0.web.prod.svc.cluster.local")
	s.wants("erl.cluster.local.", "SRV", host)
	s.wants("erl.cluster.local.", "A", "10.0.0.1")
	s.wants("1.0.0.10.in-addr.arpa.", "PTR", host)
	s.wants("7.0.96.10.in-addr.arpa.", "PTR", "shop.prod.svc.cluster.local.")
	s.wants("9.0.0.10.in-addr.arpa.", "PTR", "elsewhere.example.org.")
	s.wants("shop.prod.svc.cluster.local.", "A", "10.96.0.7")
	s.wants("example.org.", "A", elsewhere)
	for name, zone := range map[string]string{"nobody.erl.cluster.local.": "erl.cluster.local.", "nobody.cluster.local.": "cluster.local."} {
		s.wantsRcode(name, "A", "NXDOMAIN")
		same(t, "authority for "+name, owners(s.query("udp", name, "A", 0).Ns), []string{zone})
	}

	// What kubernetes says may be kept in the cache, what we say is not.
	api.Put(slice(endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.cluster.local.", "SRV", "web-1.web.prod.svc.cluster.local.")
	s.wants("2.0.0.10.in-addr.arpa.", "PTR", "web-1.web.prod.svc.cluster.local.")
}
