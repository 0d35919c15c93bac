package node

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// walk is the first afternoon of a user: most blocks of the pages, typed in the order in which they are read. Only what a page
// says is to be edited differs: the namespace, the component for which an operator is missing, and images of apps.
type walk struct {
	*bed
	dir        string // has the checkout
	repository string // the user's own
	prometheus corev1.Pod
	table      []string
}

// TestAfternoon tells at its end how long each section took. GitHub is this checkout, and the nodes have what would be
// pushed to a registry.
func TestAfternoon(t *testing.T) {
	together(t, early)
	options := cluster.Options{Nodes: 2, Images: []string{cluster.CoreDNS, cluster.Stock, cluster.BEAM}}
	w := &walk{bed: &bed{T: t, Cluster: cluster.Start(t, options), namespace: "prod"}, dir: t.TempDir()}
	w.repository = w.dir + "/platform"
	w.DeployDNS(t)
	t.Cleanup(func() { t.Logf("| Page | Section | Seconds |\n|---|---|---|\n%s", strings.Join(w.table, "\n")) })
	for _, step := range []struct {
		page, section string
		try           func()
	}{
		{readmePage, "Quick start", w.quickStart},
		{deployPage, "What to edit", w.ownOverlay},
		{deployPage, "Standalone", w.standalone},
		{deployPage, "Stub domain", w.stubDomain},
		{phoenixPage, "Phoenix", w.phoenix},
		{rabbitPage, "RabbitMQ", w.rabbitMQ},
		{deployPage, "Alerts", w.alerts},
		{operatingPage, "LongnamesClusterFell", w.runbook},
		{deployPage, "Upgrade and rollback", w.rollback},
	} {
		begin := time.Now()
		step.try()
		w.table = append(w.table, fmt.Sprintf("| %s | %s | %.0f |", step.page, step.section, time.Since(begin).Seconds()))
	}
}

// own is what a user types for a command of a page, whose overlay and namespace are their own.
var own = strings.NewReplacer("-k deploy/overlays/standalone", "-k overlays/prod", "-k deploy/", "-k longnames/deploy/",
	"-n longnames", "-n dns", "kubectl diff", "! kubectl diff", "REVISION", "HEAD^")

func (w *walk) types(page, section, language, having string) string {
	script := own.Replace(w.pageBlock(page, section, language, having))
	if strings.Contains(script, "port-forward") {
		script = untilAnswered(script)
	}
	return w.Shell(w.T, w.repository, script)
}

// commits does something in the user's repository, and commits it.
func (w *walk) commits(script string) {
	w.Shell(w.T, w.repository, script+"\ngit add .; git -c user.name=e2e -c user.email=e2e@example.org commit -qm e2e")
}

// quickStart has two terminals, in the first of which CoreDNS runs. Go has compiled what it needs before.
func (w *walk) quickStart() {
	terminals := blocks(w.T, readmePage, "Quick start", "console", "")
	require.Len(w, terminals, 2)
	var typed, printed [2]string
	for i, terminal := range terminals {
		for line := range strings.Lines(terminal) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				typed[i] += command
			} else {
				printed[i] += line
			}
		}
	}
	home, err := os.UserHomeDir()
	github, err2 := filepath.Abs(checkout)
	require.NoError(w, err)
	require.NoError(w, err2)
	question, _, _ := strings.Cut(typed[1], "\n")
	answer, _, _ := strings.Cut(printed[1], "\n")
	assert.Equal(w, printed[1], w.Shell(w.T, w.dir, fmt.Sprintf(`
		export HOME=%s GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=url.%s.insteadOf GIT_CONFIG_VALUE_0=https://github.com/longnames/longnames
		unset MAKEFLAGS MFLAGS
		{ %s } >log 2>&1 &
		until %s | grep -qxF '%s'; do kill -0 $! || { cat log; exit 1; }; sleep 0.2; done
		%s
		kill $!
		wait || true`, home, github, w.replaced(typed[0], "make run", "exec make run"), question, answer, typed[1])))
}

func (w *walk) ownOverlay() {
	w.Shell(w.T, w.dir+"/longnames", w.pageBlock(deployPage, "What to edit", "sh", ""))
	overlay := w.replaced(w.pageBlock(deployPage, "What to edit", "yaml", ""),
		"- ../../longnames/deploy/components/service-monitor\n", "", "components:\n", "namespace: dns\ncomponents:\n")
	w.write(w.repository+"/overlays/prod/kustomization.yaml", overlay)
	w.commits("")
}

func (w *walk) standalone() {
	w.types(deployPage, "Standalone", "sh", "apply")
	assert.Regexp(w, `\nns\.dns\.svc\.erl\.internal\. `, w.types(deployPage, "Standalone", "sh", "SOA"))
}

func (w *walk) stubDomain() {
	assert.Regexp(w, `(?m)^\.:53 {`, w.types(deployPage, "Stub domain", "sh", "get configmap"))
	since := time.Now()
	w.types(deployPage, "Stub domain", "sh", "diff")
	w.at("kube-system").reloaded(since)
}

// phoenix has an Erlang node in place of the release, which is called, and asks, as the page says.
func (w *walk) phoenix() {
	w.Shell(w.T, w.dir+"/longnames", secrets(w.pageBlock(phoenixPage, "Phoenix", "sh", "create secret")))
	w.configure(w.pageBlock(phoenixPage, "Phoenix", "txt", ""), map[string]string{
		"env.sh": w.pageBlock(phoenixPage, "Phoenix", "sh", "rel/env.sh"), "questions": "a shop.prod.svc.erl.internal. shop",
	})
	w.apply(w.manifest("deployment"))
	nodes := hosts("ip", w.mesh("shop", "ip", "", 3), "", "shop@")
	said := regexp.MustCompile(`shop@[0-9.]+`).FindAllString(w.types(phoenixPage, "Phoenix", "sh", "rpc"), -1)
	require.NoError(w, watch.Same("nodes that one lists", said[:min(3, len(said))], nodes))
	require.NoError(w, watch.Same("nodes by TXT", said[min(3, len(said)):], nodes))
}

func (w *walk) rabbitMQ() {
	w.write(w.repository+"/overlays/prod/Corefile", w.pageBlock(rabbitPage, "RabbitMQ", "corefile", ""))
	begins := regexp.MustCompile("begins with\\s`(.*)`").FindStringSubmatch(read(w.T, rabbitPage))
	require.NotNil(w, begins, "the beginning of the block of the stub domain")
	w.commits("sed -i 's,^erl.internal:53 {$," + begins[1] + ",' longnames/deploy/overlays/stub-domain/coredns/Corefile")
	w.types(deployPage, "Standalone", "sh", "apply")
	w.stubDomain()
	w.boot(w.manifest("rabbitmq"), "hostname", "erl.internal", 3)
	w.mesh("shop", "ip", "", 3)
}

// alerts has Debian's Prometheus, in the network of a pod, load the rules that are shipped.
func (w *walk) alerts() {
	w.CreateNamespace(w, "monitoring")
	w.newPeers().guest("prometheus", "monitoring", "app=prometheus", w.Nodes[0])
	w.prometheus = w.at("monitoring").pods("app=prometheus")[0]
	config := w.write(w.dir+"/prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s/longnames/deploy/monitoring/rules.yaml]
scrape_configs: [{job_name: coredns, static_configs: [{targets: ["%s:9153"]}]}]
`, w.repository, strings.Join(addresses(w.at("dns").pods(ours)), `:9153", "`)))
	go func() { // it ends with its node
		_, _ = w.onNode(w.prometheus, inside+"prometheus --log.level=warn --storage.tsdb.path=/var/lib/metrics --config.file="+config)
	}()
	w.sees("count(increase(coredns_longnames_cluster_falls_total[1m]) == 0) == 2")
}

const inside = `nsenter --net="/proc/$pid/ns/net" `

// sees waits until Prometheus does.
func (w *walk) sees(expr string) {
	w.eventually("Prometheus sees "+expr, func() error {
		out, err := w.onNode(w.prometheus, inside+"promtool query instant http://127.0.0.1:9090 '"+expr+"'")
		if err == nil && !strings.Contains(out, "=>") {
			err = fmt.Errorf("got %q", out)
		}
		return err
	})
}

// runbook follows the one for the alert of a cluster most of which leaves, and comes back.
func (w *walk) runbook() {
	w.kubectl("scale deployment/shop --replicas=1")
	w.sees(`ALERTS{alertname="LongnamesClusterFell", alertstate="firing"}`)
	assert.Contains(w, w.types(operatingPage, "LongnamesClusterFell", "sh", ""), "shop.prod.svc.erl.internal")
	w.kubectl("scale deployment/shop --replicas=3")
	w.mesh("shop", "ip", "", 3)
}

// rollback takes back a mistake, while questions are asked all the time.
func (w *walk) rollback() {
	dns := w.at("dns")
	corefile := func() string { return dns.get("deployment/longnames", ".spec.template.spec.volumes[*].configMap.name") }
	before := corefile()
	stop := w.keepAsking(w.Nodes[0], clusterDNSAddress, w.members("prod"), 0)
	w.commits("sed -i 's/ttl 0/ttl a-while/' overlays/prod/Corefile")
	w.Shell(w.T, w.repository, "kubectl apply --server-side -k overlays/prod")
	dns.newPod("CrashLoopBackOff")
	w.types(deployPage, "Upgrade and rollback", "sh", "git checkout")
	stop()
	assert.Equal(w, before, corefile())
}
