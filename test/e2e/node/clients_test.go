package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// TestClients is about docs/clients.md and docs/migrating-from-libcluster.md: what they have users do is done here. Nodes that
// are not RabbitMQ's are those of test/e2e/beam.
func TestClients(t *testing.T) {
	b := start(t)
	b.tag(t)
	for _, tt := range []struct {
		name string
		run  func(p *place)
	}{
		{"As-it-is", (*place).asItIs},
		{"Elixir", (*place).elixir},
		{"Mode-ip", func(p *place) { p.inMode("ip", "4") }},
		{"Mode-dns", func(p *place) { p.inMode("dns", "4") }},
		{"Mode-hostname", func(p *place) { p.inMode("hostname", "4") }},
		{"Resolver", (*place).inetRes},
		{"Remembers", (*place).remembers},
		{"Products", (*place).products},
		{"Migration-ip", func(p *place) { p.migration("ip") }},
		{"Migration-hostname", func(p *place) { p.migration("hostname") }},
		{"RabbitMQ", func(p *place) { p.rabbit("hostname", "erl.internal", "4") }},
		{"RabbitMQ-ip", func(p *place) { p.rabbit("ip", "", "4") }},
		{"RabbitMQ-kubelet", func(p *place) { p.rabbit("hostname", "cluster.local", "4") }},
	} {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.run(b.place(t, strings.ToLower(tt.name))) })
	}
}

// TestNodeIPv6 does the same where the first address of a pod is IPv6.
func TestNodeIPv6(t *testing.T) {
	b := bed{cluster.Start(t, cluster.Options{Nodes: 1, Images: []string{cluster.CoreDNS, cluster.Stock, cluster.BEAM}, IPv6First: true})}
	b.DeployDNS(t)
	b.tag(t)
	for _, mode := range anyMode {
		t.Run("Mode-"+mode, func(t *testing.T) { t.Parallel(); b.place(t, "mode-"+mode).inMode(mode, "6") })
	}
	t.Run("RabbitMQ", func(t *testing.T) { t.Parallel(); b.place(t, "rabbitmq").rabbit("hostname", "erl.internal", "6") })
}

// tag gives the image with Erlang the names of all images on the page.
func (b bed) tag(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^ +image: (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		name := found[1]
		if !strings.Contains(name, "/") {
			name = "library/" + name
		}
		for _, n := range b.Nodes {
			if err := n.Tag(t.Context(), cluster.BEAM, "docker.io/"+name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// place is a namespace, for a test of its own.
type place struct {
	bed
	t         *testing.T
	namespace string
	server    string // the address of the Service of its own CoreDNS, if it has one
}

// place makes one, which ends with the test. If that fails, it tells what there was.
func (b bed) place(t *testing.T, namespace string) *place {
	t.Helper()
	b.Kubectl(t, "create", "namespace", namespace)
	t.Cleanup(func() {
		for _, args := range [][]string{{"get", "pods,events", "-o", "wide"}, {"logs", "-l", "app", "--prefix", "--tail=6"}} {
			if t.Failed() {
				out, err := b.TryKubectl(context.Background(), append([]string{"-n", namespace}, args...)...)
				t.Log(out, err)
			}
		}
		if _, err := b.TryKubectl(context.Background(), "delete", "namespace", namespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	return &place{bed: b, t: t, namespace: namespace}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) should(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Error(err)
	}
}

// run runs a part as a subtest.
func (p *place) run(name string, part func(p *place)) {
	p.t.Run(name, func(t *testing.T) {
		q := *p
		q.t = t
		part(&q)
	})
}

func (p *place) kubectl(args ...string) string {
	p.t.Helper()
	return p.Kubectl(p.t, append([]string{"-n", p.namespace}, args...)...)
}

// page returns a block of docs/clients.md for this namespace: see the function block.
func (p *place) page(section, language, having string) string {
	p.t.Helper()
	return pageBlock(p.t, clientsPage, section, language, having, p.namespace)
}

func (p *place) write(file, text string) string {
	p.t.Helper()
	p.must(os.WriteFile(file, []byte(text), 0o600))
	return file
}

// overlayOfPlace has one replica, so that one log has all questions. Who may ask is not of interest here.
const overlayOfPlace = `resources: [DEPLOY/base, rights.yaml]
namespace: NAMESPACE
replicas: [{name: longnames, count: 1}]
images: [{name: image.invalid/longnames/coredns, newName: IMAGE, newTag: TAG}]
configMapGenerator: [{name: longnames, behavior: replace, files: [Corefile]}]
patches:
- target: {kind: Deployment}
  patch: '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "-dns.port=1053"}]'
- patch: '{$patch: delete, apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: longnames}}'
`

const rightsOfPlace = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: longnames}
rules:
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: longnames}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: longnames}
subjects: [{kind: ServiceAccount, name: longnames, namespace: longnames}]
`

// forwarding answers for all other names, as the page wants it of a CoreDNS that pods ask themselves.
const forwarding = ". {\n    health\n    forward . " + cluster.ClusterDNS + "\n}\n"

// serve gives the place a CoreDNS of its own: that of deploy/base, with another Corefile. It waits until there is no other.
func (p *place) serve(family string, blocks ...string) {
	p.t.Helper()
	image, tag, _ := strings.Cut(cluster.CoreDNS, ":")
	dir := overlay(p.t, strings.NewReplacer("NAMESPACE", p.namespace, "IMAGE", image, "TAG", tag).Replace(overlayOfPlace))
	var corefile strings.Builder
	for _, b := range blocks {
		corefile.WriteString(strings.Replace(b, "{\n", "{\n    errors\n    log\n    ready\n", 1))
	}
	p.write(filepath.Join(dir, "Corefile"), corefile.String())
	p.write(filepath.Join(dir, "rights.yaml"), rightsOfPlace)
	before := p.pods(p.t, p.namespace, ours)
	p.Kubectl(p.t, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", dir)
	p.rolledOut(p.t, p.namespace, "deployment/longnames")
	p.gone(p.t, before)
	service, err := p.Client.CoreV1().Services(p.namespace).Get(p.t.Context(), "longnames", metav1.GetOptions{})
	p.must(err)
	i := slices.IndexFunc(service.Spec.ClusterIPs, func(ip string) bool { return strings.Contains(ip, ":") == (family == "6") })
	if i < 0 {
		p.t.Fatalf("got addresses %q, want one of IPv%s", service.Spec.ClusterIPs, family)
	}
	p.server = service.Spec.ClusterIPs[i]
}

// apply applies a manifest of a page, with patches. Pods ask the place's CoreDNS, by what the page has for that.
func (p *place) apply(manifest string, patches ...string) {
	p.t.Helper()
	if p.server != "" {
		patches = append(patches, replaced(p.t, p.page("The way of a question", "yaml", "dnsPolicy"), "10.96.0.15", `"`+p.server+`"`))
	}
	text := "resources: [manifest.yaml]\npatches:\n"
	for i := range patches {
		text += fmt.Sprintf("- {path: %d.yaml, target: {kind: Deployment|StatefulSet}}\n", i)
	}
	dir := overlay(p.t, text)
	p.write(filepath.Join(dir, "manifest.yaml"), manifest)
	for i, patch := range patches {
		p.write(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), "apiVersion: apps/v1\nkind: any\nmetadata: {name: any}\n"+patch)
	}
	p.Kubectl(p.t, "apply", "--server-side", "--validate=strict", "-k", dir)
}

// shell runs a script of a page.
func (p *place) shell(script string) string {
	p.t.Helper()
	out, err := p.Nodes[0].Shell(p.t.Context(), script)
	p.must(err)
	return out
}

// release makes what the manifests for shop need: the cookie, and the ConfigMap, which has the files of the release, too.
func (p *place) release(files map[string]string) {
	p.t.Helper()
	p.shell(p.page("Modes", "sh", "shop-cookie"))
	p.apply(p.page("Modes", "yaml", "inetrc"))
	config, err := p.Client.CoreV1().ConfigMaps(p.namespace).Get(p.t.Context(), "erlang", metav1.GetOptions{})
	p.must(err)
	config.Data["vm.args"] = p.page("Ports, cookies and TLS", "txt", "")
	maps.Copy(config.Data, files)
	_, err = p.Client.CoreV1().ConfigMaps(p.namespace).Update(p.t.Context(), config, metav1.UpdateOptions{})
	p.must(err)
}

// host is what longnames calls a pod's host.
func host(mode string, pod corev1.Pod, domain string) string {
	switch mode {
	case "dns":
		return dashed(pod) + "." + pod.Namespace + ".pod." + domain
	case "hostname":
		return pod.Spec.Hostname + "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + domain
	default:
		return pod.Status.PodIP
	}
}

func dashed(pod corev1.Pod) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(pod.Status.PodIP)
}

// hosts are those of pods, with a prefix.
func hosts(mode string, pods []corev1.Pod, domain, prefix string) []string {
	out := make([]string, 0, len(pods))
	for _, pod := range pods {
		out = append(out, prefix+host(mode, pod, domain))
	}
	return out
}

// mesh waits until each of n pods of an app has found all others by itself, is connected to these, and stays so for some
// polls. Pods that are told to end count only if n is all of them.
func (p *place) mesh(app, mode, domain string, n int) []corev1.Pod {
	p.t.Helper()
	var pods []corev1.Pod
	var since time.Time
	cluster.Eventually(p.t, patience, fmt.Sprintf("%d nodes are connected", n), func() error {
		list, err := p.Client.CoreV1().Pods(p.namespace).List(p.t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err == nil {
			if pods = list.Items; len(pods) != n {
				pods = p.pods(p.t, p.namespace, "app="+app)
			}
			err = p.meshed(pods, app, mode, domain, n)
		}
		switch {
		case err != nil:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if err == nil && time.Since(since) < 3*time.Second {
			err = errors.New("just now")
		}
		return err
	})
	return pods
}

func (p *place) meshed(pods []corev1.Pod, app, mode, domain string, n int) error {
	if len(pods) != n {
		return fmt.Errorf("got %d pods, want %d", len(pods), n)
	}
	for i, pod := range pods {
		said, err := p.Client.CoreV1().Pods(p.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(p.t.Context())
		if err != nil {
			return err
		}
		others := slices.Delete(hosts(mode, pods, domain, app+"@"), i, i+1)
		err = same("NODES of "+pod.Name, lastLine(string(said), "NODES "), others)
		if err == nil && app != "couchdb" { // whose nodes have a list of some
			err = same("FOUND of "+pod.Name, lastLine(string(said), "FOUND "), others)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// same is an error if two sets differ.
func same(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: got %d %q, want %d %q", what, len(got), got, len(want), want)
	}
	return nil
}

// in runs a command in a pod.
func (p *place) in(pod string, command ...string) string {
	p.t.Helper()
	return p.kubectl(append([]string{"exec", pod, "--"}, command...)...)
}

// erl has a function of test/e2e/beam print lines with a prefix, in a VM of its own in a pod.
func (p *place) erl(pod, inetrc, prefix, module, function string, args ...string) []string {
	p.t.Helper()
	command := append([]string{"env", "HOME=/tmp", "ERL_INETRC=" + inetrc, "erl", "-noinput", "-pa", "/app", "-s", module, function, "-extra"}, args...)
	var out []string
	text := p.in(pod, command...)
	for line := range strings.Lines(text) {
		values, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
		if !ok {
			p.t.Fatalf("%s of %q: got %s", function, args, text)
		}
		out = append(out, values)
	}
	return out
}

// exchange asks CoreDNS from a node, without EDNS unless size is above 0.
func (p *place) exchange(network, name, qtype string, size uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	raw, err := p.Nodes[0].Dial(p.t.Context(), network, net.JoinHostPort(p.server, "53"))
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw, UDPSize: max(size, dns.MinMsgSize)}
	defer conn.Close()
	answer, _, err := (&dns.Client{Net: network}).ExchangeWithConn(m, conn)
	return answer, err
}

// wants waits until an answer is exactly this: addresses, targets without the final dot, longnames.
func (p *place) wants(name, qtype string, want ...string) {
	p.t.Helper()
	cluster.Eventually(p.t, patience, name+" "+qtype, func() error {
		m, err := p.exchange("tcp", name, qtype, 0)
		if err != nil {
			return err
		}
		var got []string
		for _, rr := range m.Answer {
			f := strings.Fields(rr.String()) // the last is all that differs
			got = append(got, strings.TrimSuffix(strings.Trim(f[len(f)-1], `"`), "."))
		}
		return same(dns.RcodeToString[m.Rcode], got, want)
	})
}

// wantsCluster waits until a cluster's name answers with all that it has to.
func (p *place) wantsCluster(name, basename string, hosts, addresses []string) {
	p.t.Helper()
	names := slices.Clone(hosts)
	of := map[bool][]string{}
	for i, a := range addresses {
		names[i] = basename + "@" + hosts[i]
		of[strings.Contains(a, ":")] = append(of[strings.Contains(a, ":")], a)
	}
	p.wants(name, "TXT", names...)
	p.wants(name, "SRV", hosts...)
	p.wants(name, "A", of[false]...)
	p.wants(name, "AAAA", of[true]...)
}

// logged waits until CoreDNS has logged a question, and returns how often.
func (p *place) logged(question, rest string) (n int) {
	p.t.Helper()
	pattern := regexp.MustCompile(`"` + strings.ReplaceAll(question, ".", `\.`) + `\. ` + rest)
	cluster.Eventually(p.t, patience, "CoreDNS logs "+pattern.String(), func() error {
		if n = len(pattern.FindAllString(p.kubectl("logs", "--tail=-1", "deployment/longnames"), -1)); n == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	return n
}
