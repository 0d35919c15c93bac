package node

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/watch"
)

// volumes makes those that the three pods of a StatefulSet claim.
func (b *bed) volumes(app string) {
	for i := range 3 {
		name := fmt.Sprintf("%s-%s-%d", b.namespace, app, i)
		for _, n := range b.Nodes { // kubelet would make it root's, and gives what is on its node to nobody else
			_, err := n.Shell(b.Context(), "install -dm 777 /var/lib/volumes/"+name)
			require.NoError(b, err)
		}
		b.create(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: %s, name: data-%s-%d}
  hostPath: {path: /var/lib/volumes/%[1]s, type: Directory}
`, name, b.namespace, app, i)
	}
}

// products applies what the page has for each product that has a manifest there, and cannot be had here, in one zone. A
// node of ours is in its place, which is called as the manifest says, and asks for what that says.
func (b *bed) products() {
	b.restricted()
	b.serve("4", b.page("More than one mode", "corefile", ""), forwarding)
	for _, section := range []string{"Livebook", "EMQX", "CouchDB"} {
		app, mode := strings.ToLower(section), "hostname"
		manifest := b.manifest(app)
		if strings.Contains(manifest, "kind: Deployment") {
			mode = "ip"
		}
		b.Shell(b.T, checkout, secrets(b.page(section, "sh", "create secret")))
		b.volumes(app)
		b.apply(manifest)
		pods := b.mesh(app, mode, "erl.internal", 3)
		b.wants(app+"."+b.namespace+".svc.erl.internal", "TXT", hosts(mode, pods, "erl.internal", app+"@")...)
	}
	b.wants("nobody."+b.namespace+".svc.erl.internal", "A", "NXDOMAIN") // both blocks let it fall through
}

// secrets are the commands of a page up to the one that applies the manifest, in whose place is another one.
func secrets(script string) string {
	script, _, _ = strings.Cut(script, "kubectl apply -f examples/clients/")
	return script
}

// rabbitInetrc is the one that the manifest has for RabbitMQ.
func (b *bed) rabbitInetrc() string {
	_, inetrc, _ := strings.Cut(b.manifest("rabbitmq"), "  inetrc: |\n")
	inetrc, _, _ = strings.Cut(inetrc, "---\n")
	return strings.ReplaceAll(inetrc, "    ", "")
}

// rabbit runs brokers by the manifest of the page, and by what it says of other modes, domains and families.
func (b *bed) rabbit(mode, domain, family string) {
	const name = "rabbit@$(POD_NAME).rabbit.$(POD_NAMESPACE).svc.erl.internal"
	b.restricted()
	served, manifest := b.page("Mode hostname", "corefile", ""), b.manifest("rabbitmq")
	reverse, n := "10.244.0.0/16", 2
	switch {
	case mode == "ip":
		served = withMode(served, mode)
		manifest = b.replaced(manifest, name, "rabbit@$(POD_IP)",
			"        env:\n", "        env:\n        - name: POD_IP\n          valueFrom: {fieldRef: {fieldPath: status.podIP}}\n")
	case domain == "cluster.local": // as the kubelet calls them, with no inetrc
		served = b.replaced(served, "        cluster_domain erl.internal\n", "")
		manifest = b.replaced(manifest, name, strings.Replace(name, "erl.internal", domain, 1),
			"        - name: ERL_INETRC\n          value: /etc/rabbit/inetrc\n", "",
			"  clusterIP: None\n", "  clusterIP: None\n  publishNotReadyAddresses: true\n")
	case family == "6":
		reverse, n = "fd00::/16", 3
		env := "        env:\n"
		for line := range strings.Lines(b.page("RabbitMQ over IPv6", "txt", "")) {
			variable, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			env += fmt.Sprintf("        - {name: %s, value: %s}\n", variable, value)
		}
		inetrc := strings.ReplaceAll(b.page("RabbitMQ over IPv6", "erlang", ""), "\n{", "\n    {")
		manifest = b.replaced(manifest, "        env:\n", env, "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n",
			"  inetrc: |\n", "  inetrc: |\n    "+inetrc)
	}
	b.serve(family, b.replaced(served, "svc.erl.internal {", "svc.erl.internal "+reverse+" {"), forwarding)
	b.boot(manifest, mode, domain, n)
}

// boot runs n brokers.
func (b *bed) boot(manifest, mode, domain string, n int) {
	b.Shell(b.T, checkout, secrets(b.page("RabbitMQ", "sh", "create secret")))
	b.volumes("rabbit")
	b.apply(b.replaced(manifest, "  replicas: 3\n", "  replicas: 1\n"))
	for i := range n { // one after the other, however long minReadySeconds would have to be here
		b.kubectl("scale statefulset/rabbit --replicas=%d", i+1)
		b.kubectl("rollout status --timeout=12m statefulset/rabbit")
		b.prints(`completed with \d+ plugins`, "logs rabbit-%d", i)
	}
	b.brokers(mode, domain, n)
}

var rabbitNode = regexp.MustCompile(`rabbit@[^'", \]]+`)

// brokers are ready, by their own probe. Each has to have found itself and those before it at once, and nobody else,
// for the next one is not started before it is up. Then all are one cluster, and each is to itself what its node is
// called.
func (b *bed) brokers(mode, domain string, n int) {
	pods := b.pods("app=rabbit")
	names := hosts(mode, pods, domain, "rabbit@")
	require.Len(b, pods, n)
	check := b.page("RabbitMQ", "sh", "rabbitmqctl eval")
	for i, pod := range pods {
		peers := b.prints(`All discovered existing cluster peers: (.*)`, "logs %s", pod.Name)
		b.should(watch.Same("peers of "+pod.Name, strings.Split(peers, ", "), names[:i+1]))
		b.eventually(pod.Name+" is in one cluster with the others", func() error {
			said, err := b.try("exec %s -- rabbitmqctl eval rabbit_nodes:all_running().", pod.Name)
			if err != nil {
				return err
			}
			return watch.Same("running nodes", rabbitNode.FindAllString(said, -1), names)
		})
		said := b.Shell(b.T, checkout, strings.NewReplacer("rabbit-0", pod.Name, "10.244.0.21", pod.Status.PodIP).Replace(check))
		assert.Contains(b, said, `{hostent,"`+strings.TrimPrefix(names[i], "rabbit@")+`"`, pod.Name)
		// The system's resolver goes by /etc/hosts, whatever DNS says.
		host := regexp.QuoteMeta(watch.Host("hostname", pod, "cluster.local"))
		assert.Regexp(b, `^\S+\s+`+host+`\s`, b.exec(pod.Name, "getent", "hosts", pod.Status.PodIP))
	}
	b.Logf("one cluster: %q", names)
}
