package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// volumes makes those that the three pods of a StatefulSet claim.
func (p *place) volumes(app string) {
	p.t.Helper()
	for i := range 3 {
		claim := fmt.Sprintf("data-%s-%d", app, i)
		kind := corev1.HostPathDirectoryOrCreate
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-" + claim}, Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			ClaimRef:               &corev1.ObjectReference{Namespace: p.namespace, Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/volumes/" + p.namespace + claim, Type: &kind}},
		}}
		_, err := p.Client.CoreV1().PersistentVolumes().Create(p.t.Context(), v, metav1.CreateOptions{})
		p.must(err)
		p.t.Cleanup(func() {
			_, err := p.TryKubectl(context.Background(), "delete", "persistentvolume", v.Name, "--wait=false")
			p.should(err)
		})
	}
}

// products applies what the page has for each product that cannot be had here, in one zone. A node of ours is in its place,
// which is called as the manifest says, and asks for what that says.
func (p *place) products() {
	p.serve("4", p.page("More than one mode", "corefile", ""), forwarding)
	for _, tt := range []struct{ client, mode string }{{"Livebook", "ip"}, {"EMQX", "hostname"}, {"CouchDB", "hostname"}} {
		app := strings.ToLower(tt.client)
		p.shell(p.page(tt.client, "sh", "create secret"))
		p.volumes(app)
		p.apply(p.page(tt.client, "yaml", ""))
		pods := p.mesh(app, tt.mode, "erl.internal", 3)
		p.wants(app+"."+p.namespace+".svc.erl.internal", "TXT", hosts(tt.mode, pods, "erl.internal", app+"@")...)
		p.t.Logf("%s, mode %s: 3 nodes are connected", tt.client, tt.mode)
	}
	m, err := p.exchange("udp", "nobody."+p.namespace+".svc.erl.internal", "A", 0) // both blocks let it fall through
	if err != nil || m.Rcode != dns.RcodeNameError {
		p.t.Errorf("nobody: got %v %v, want NXDOMAIN", m, err)
	}
}

// Each client that has a manifest of its own on the page is one of the products, or is RabbitMQ.
func TestProductsAreThoseOfThePage(t *testing.T) {
	var got []string
	for _, s := range snippets(t, clientsPage) {
		if s.language == "yaml" && strings.Contains(s.text, "kind: Service\n") && !strings.HasPrefix(s.section, "Mode ") {
			got = append(got, s.section)
		}
	}
	if err := same("products", got, []string{"Livebook", "EMQX", "CouchDB", "RabbitMQ"}); err != nil {
		t.Error(err)
	}
}

// rabbitInetrc is the one that the page has for RabbitMQ.
func rabbitInetrc(t *testing.T) string {
	t.Helper()
	config, _, _ := strings.Cut(pageBlock(t, clientsPage, "RabbitMQ", "yaml", "", "prod"), "\n---\n")
	var c corev1.ConfigMap
	if err := yaml.Unmarshal([]byte(config), &c); err != nil || c.Data["inetrc"] == "" {
		t.Fatalf("got %v %v, want an inetrc", c, err)
	}
	return c.Data["inetrc"]
}

// rabbit runs brokers by the manifest of the page, and by what it says of other modes, domains and families.
func (p *place) rabbit(mode, domain, family string) {
	const name = "rabbit@$(POD_NAME).rabbit.$(POD_NAMESPACE).svc.erl.internal"
	served, manifest := p.page("RabbitMQ", "corefile", ""), p.page("RabbitMQ", "yaml", "")
	n := 3
	switch {
	case mode == "ip":
		n = 2
		served = withMode(served, mode)
		manifest = replaced(p.t, manifest, name, "rabbit@$(POD_IP)", "  replicas: 3\n", "  replicas: 2\n",
			"        env:\n", "        env:\n        - name: POD_IP\n          valueFrom: {fieldRef: {fieldPath: status.podIP}}\n")
	case domain == "cluster.local": // as the kubelet calls them, with no inetrc
		n = 2
		served = replaced(p.t, served, "        cluster_domain erl.internal\n", "")
		manifest = replaced(p.t, manifest, name, strings.Replace(name, "erl.internal", domain, 1), "  replicas: 3\n", "  replicas: 2\n",
			"        - name: ERL_INETRC\n          value: /etc/rabbit/inetrc\n", "",
			"  clusterIP: None\n", "  clusterIP: None\n  publishNotReadyAddresses: true\n")
	case family == "6":
		served = replaced(p.t, served, "10.0.0.0/8", "fd00::/16")
		var env strings.Builder
		for line := range strings.Lines(p.page("RabbitMQ over IPv6", "txt", "")) {
			variable, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			fmt.Fprintf(&env, "        - {name: %s, value: %s}\n", variable, value)
		}
		manifest = replaced(p.t, manifest, "        env:\n", "        env:\n"+env.String(), "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n",
			"  inetrc: |\n", "  inetrc: |\n    "+strings.ReplaceAll(p.page("RabbitMQ over IPv6", "erlang", ""), "\n{", "\n    {"))
	}
	p.serve(family, served, forwarding)
	p.shell(p.page("RabbitMQ", "sh", "create secret"))
	p.volumes("rabbit")
	p.apply(manifest)
	p.kubectl("rollout", "status", "--timeout=12m", "statefulset/rabbit")
	p.brokers(mode, domain, n)
}

var (
	rabbitUp    = regexp.MustCompile(`(?m)^(\S+) .*completed with \d+ plugins`)
	rabbitPeers = regexp.MustCompile(`All discovered existing cluster peers: (.*)`)
	rabbitNode  = regexp.MustCompile(`rabbit@[^'", \]]+`)
)

// brokers are ready, by their own probe. Each has to have found itself and those before it at once, and nobody else, for the
// next one is not started before it is up. Then all are one cluster, and each is to itself what its node is called.
func (p *place) brokers(mode, domain string, n int) {
	p.t.Helper()
	pods := p.pods(p.t, p.namespace, "app=rabbit")
	names := hosts(mode, pods, domain, "rabbit@")
	if len(pods) != n {
		p.t.Fatalf("got %d brokers, want %d", len(pods), n)
	}
	check := p.page("RabbitMQ", "sh", "rabbitmqctl eval")
	for i, pod := range pods {
		var said string
		var up, peers []string
		cluster.Eventually(p.t, patience, pod.Name+" is up", func() error { // which is some time after it is ready
			said = p.kubectl("logs", "--timestamps", pod.Name)
			if up, peers = rabbitUp.FindStringSubmatch(said), rabbitPeers.FindStringSubmatch(said); up == nil || peers == nil {
				return fmt.Errorf("got no peers, or not up, in %s", said)
			}
			return nil
		})
		at, err := time.Parse(time.RFC3339Nano, up[1])
		p.must(err)
		found := strings.Split(peers[1], ", ")
		if i+1 < n && pods[i+1].Status.ContainerStatuses[0].State.Running.StartedAt.Time.Before(at) {
			// On a machine that is too busy for it, as the page says. Those before it have to be found all the same.
			p.t.Logf("minReadySeconds was too short: %s was up only at %s", pod.Name, at)
			found = slices.DeleteFunc(found, func(name string) bool { return slices.Contains(names[i+1:], name) })
		}
		p.should(same("peers of "+pod.Name, found, names[:i+1]))
		cluster.Eventually(p.t, patience, pod.Name+" is in one cluster with the others", func() error {
			said, err := p.TryKubectl(p.t.Context(), "-n", p.namespace, "exec", pod.Name, "--", "rabbitmqctl", "eval", "rabbit_nodes:all_running().")
			if err != nil {
				return err
			}
			return same("running nodes", rabbitNode.FindAllString(said, -1), names)
		})
		said = p.shell(strings.NewReplacer("rabbit-0", pod.Name, "10.1.0.21", pod.Status.PodIP).Replace(check))
		if want := `{hostent,"` + strings.TrimPrefix(names[i], "rabbit@") + `"`; !strings.Contains(said, want) {
			p.t.Errorf("%s: got %s, want %s", pod.Name, said, want)
		}
		// The system's resolver goes by /etc/hosts, whatever DNS says.
		got := strings.Fields(p.in(pod.Name, "getent", "hosts", pod.Status.PodIP))
		if want := host("hostname", pod, "cluster.local"); len(got) < 2 || got[1] != want {
			p.t.Errorf("%s: getent has %q, want %s", pod.Name, got, want)
		}
	}
	p.t.Logf("one cluster: %q", names)
}
