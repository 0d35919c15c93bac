package node

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// TestClients is about docs/clients.md and docs/migrating-from-libcluster.md: what they have users do is done here.
// Nodes that are not RabbitMQ's are those of test/e2e/beam.
func TestClients(t *testing.T) {
	together(t, busy)
	b := start(t)
	b.beside(
		part{"As-it-is", (*bed).asItIs},
		part{"Elixir", (*bed).elixir},
		part{"Mode-ip", func(b *bed) { b.inMode("ip", "4") }},
		part{"Mode-dns", func(b *bed) { b.inMode("dns", "4") }},
		part{"Mode-hostname", func(b *bed) { b.inMode("hostname", "4") }},
		part{"Resolver", (*bed).inetRes},
		part{"Remembers", (*bed).remembers},
		part{"Products", (*bed).products},
		part{"Migration-ip", func(b *bed) { b.migration("ip") }},
		part{"Migration-hostname", func(b *bed) { b.migration("hostname") }},
		part{"RabbitMQ-ip", func(b *bed) { b.rabbit("ip", "", "4") }}, // hostname is TestAfternoon's
		part{"RabbitMQ-kubelet", func(b *bed) { b.rabbit("hostname", "cluster.local", "4") }},
	)
}

// TestNodeIPv6 tries clients where the first address of a pod is IPv6.
func TestNodeIPv6(t *testing.T) {
	together(t, busy)
	options := cluster.Options{Nodes: 1, Images: []string{cluster.CoreDNS, cluster.Stock, cluster.BEAM}, IPv6First: true}
	b := &bed{T: t, Cluster: cluster.Start(t, options)}
	b.DeployDNS(b.T)
	b.beside(
		part{"Mode-ip", func(b *bed) { b.inMode("ip", "6") }},
		part{"Mode-dns", func(b *bed) { b.inMode("dns", "6") }},
		part{"Mode-hostname", func(b *bed) { b.inMode("hostname", "6") }},
		part{"RabbitMQ", func(b *bed) { b.rabbit("hostname", "erl.internal", "6") }},
	)
}

// overlayOfPart has one replica, so that one log has all questions. Who may ask is not of interest here.
const overlayOfPart = `
resources: [DEPLOY/base]
namespace: NAMESPACE
replicas: [{name: longnames, count: 1}]
images: [{name: image.invalid/longnames/coredns, newName: IMAGE, newTag: TAG}]
configMapGenerator: [{name: longnames, behavior: replace, files: [Corefile]}]
patches:
- target: {kind: Deployment}
  patch: '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "-dns.port=1053"}]'
- patch: '{$patch: delete, apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: longnames}}'
`

// forwarding answers for all other names, as the page wants it of a CoreDNS that pods ask themselves.
const forwarding = ". {\n    health\n    forward . " + cluster.ClusterDNS + "\n}\n"

// serve gives the part a CoreDNS of its own: that of deploy/base, with another Corefile. It waits until there is no
// other.
func (b *bed) serve(family string, blocks ...string) {
	image, tag, _ := strings.Cut(cluster.CoreDNS, ":")
	corefile := ""
	for _, block := range blocks {
		corefile += strings.Replace(block, "{\n", "{\n    errors\n    log\n    ready\n", 1)
	}
	if !strings.Contains(corefile, " health\n") { // kubelet asks for it
		corefile += "health.invalid {\n    health\n}\n"
	}
	text := strings.NewReplacer("NAMESPACE", b.namespace, "IMAGE", image, "TAG", tag).Replace(overlayOfPart)
	dir := b.overlay(text, map[string]string{"Corefile": corefile})
	before := b.pods(ours)
	b.kubectl("apply --server-side --force-conflicts --validate=strict -k %s", dir)
	b.rolledOut("deployment/longnames")
	b.gone(before)
	all := strings.Fields(b.get("service/longnames", ".spec.clusterIPs[*]"))
	i := slices.IndexFunc(all, func(ip string) bool { return strings.Contains(ip, ":") == (family == "6") })
	require.GreaterOrEqual(b, i, 0, "addresses %q have none of IPv%s", all, family)
	b.server = net.JoinHostPort(all[i], "53")
}

var image = regexp.MustCompile(`( image: )[^\s,]+`)

// apply applies a manifest of a page, with the image of test/e2e/beam, and with patches. Pods ask the part's CoreDNS,
// by what the page has for that.
func (b *bed) apply(manifest string, patches ...string) {
	if b.server != "" {
		server, _, err := net.SplitHostPort(b.server)
		require.NoError(b, err)
		patches = append(patches, b.replaced(b.page("How a question gets there", "yaml", "dnsPolicy"), "10.96.0.15", `"`+server+`"`))
	}
	text := "resources: [manifest.yaml]\npatches:\n"
	files := map[string]string{"manifest.yaml": image.ReplaceAllString(manifest, "${1}"+cluster.BEAM)}
	for i, patch := range patches {
		name := fmt.Sprintf("%d.yaml", i)
		text += "- {path: " + name + ", target: {kind: Deployment|StatefulSet}}\n"
		files[name] = "apiVersion: apps/v1\nkind: any\nmetadata: {name: any}\n" + patch
	}
	b.kubectl("apply --server-side --validate=strict -k %s", b.overlay(text, files))
}

// restricted has the namespace take only pods that pass this level of Pod Security, as all manifests of pages do.
func (b *bed) restricted() {
	b.kubectl("label namespace %s pod-security.kubernetes.io/enforce=restricted", b.namespace)
}

// release makes what the manifests for shop need: the cookie, and the ConfigMap.
func (b *bed) release(files map[string]string) {
	b.Shell(b.T, checkout, b.page("Modes", "sh", "shop-cookie"))
	b.configure(b.page("Ports, cookies and TLS", "txt", ""), files)
}

// configure makes the ConfigMap of the manifests for shop, which has the files of the release, too.
func (b *bed) configure(vmArgs string, files map[string]string) {
	inetrc, _, _ := strings.Cut(b.manifest("deployment"), "---\n")
	b.apply(inetrc)
	configs := b.Client.CoreV1().ConfigMaps(b.namespace)
	config, err := configs.Get(b.Context(), "erlang", metav1.GetOptions{})
	require.NoError(b, err)
	config.Data["vm.args"] = vmArgs
	maps.Copy(config.Data, files)
	_, err = configs.Update(b.Context(), config, metav1.UpdateOptions{})
	require.NoError(b, err)
}

// mesh waits until each of n pods of an app has found all others by itself, is connected to these, and stays so for
// some polls. Pods that are told to end count only if n is all of them.
func (b *bed) mesh(app, mode, domain string, n int) []corev1.Pod {
	var pods []corev1.Pod
	var since time.Time
	b.eventually(fmt.Sprintf("%d nodes are connected", n), func() error {
		list, err := b.Client.CoreV1().Pods(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err == nil {
			if pods = list.Items; len(pods) != n {
				pods = b.pods("app=" + app)
			}
			err = b.areMeshed(pods, app, mode, domain, n)
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

func (b *bed) areMeshed(pods []corev1.Pod, app, mode, domain string, n int) error {
	if len(pods) != n {
		return fmt.Errorf("got %d pods, want %d", len(pods), n)
	}
	for i, pod := range pods {
		said, err := b.logs(pod.Name)
		if err != nil {
			return err
		}
		others := slices.Delete(hosts(mode, pods, domain, app+"@"), i, i+1)
		err = watch.Same("NODES of "+pod.Name, watch.LastLine(said, "NODES "), others)
		if err == nil && app != "couchdb" { // whose nodes have a list of some
			err = watch.Same("FOUND of "+pod.Name, watch.LastLine(said, "FOUND "), others)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// erl has a function of test/e2e/beam print lines with a prefix, in a VM of its own in a pod.
func (b *bed) erl(pod, inetrc, prefix, module, function string, args ...string) []string {
	command := strings.Fields("env HOME=/tmp ERL_INETRC=" + inetrc + " erl -noinput -pa /app -s " + module + " " + function + " -extra")
	text := b.exec(pod, append(command, args...)...)
	var out []string
	for line := range strings.Lines(text) {
		values, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
		require.True(b, ok, "%s of %q: got %s", function, args, text)
		out = append(out, values)
	}
	return out
}

// logged waits until CoreDNS has logged a question.
func (b *bed) logged(question, rest string) {
	b.prints(`"`+regexp.QuoteMeta(question)+`\. `+rest, "logs --tail=-1 deployment/longnames")
}
