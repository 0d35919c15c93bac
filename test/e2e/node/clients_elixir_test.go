package node

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/longnames/longnames/test/e2e/watch"
)

// askedFor is what the configuration on the pages has an app ask for, and by which function, by section.
var askedFor = map[string]string{
	"Kubernetes.DNSSRV": "shop prod Shop.Peers.srv/1",
	"Kubernetes.DNS":    "shop.prod.svc.erl.internal. Shop.Peers.a/1",
	"DNSPoll":           "shop.prod.svc.erl.internal. Shop.Peers.addresses/1",
	"Phoenix":           "shop.prod.svc.erl.internal.",
	"peerage":           "shop.prod.svc.erl.internal",
	"Others":            "caravan.erl.internal",
	// of docs/migrating-from-libcluster.md
	"Which strategy next": "shop prod Shop.Peers.srv/1",
}

// evaluate compiles the modules of a page, parses all that is Elixir, and evaluates each config/runtime.exs: in
// production, and in tests without any variable.
const evaluate = `export HOME=/tmp LC_ALL=C.UTF-8; cd /etc/erlang
elixir -e 'for file <- Path.wildcard("*-*.ex*"), do: Code.string_to_quoted!(File.read!(file))'
for page in 0 1; do
	mkdir -p /tmp/$page
	elixirc --warnings-as-errors -o /tmp/$page $page-*.module.ex
	POD_NAMESPACE=prod DNS_CLUSTER_QUERY=shop.prod.svc.erl.internal. elixir -pa /tmp/$page config.exs prod $page-*.runtime.exs
	elixir -pa /tmp/$page config.exs test $page-*.runtime.exs
done
`

// elixir evaluates what the pages print for config/runtime.exs as Elixir does: in production it has to say who is asked
// for, and name resolvers that the pages' modules have; in tests, nothing.
func (b *bed) elixir() {
	dir := b.TempDir()
	b.write(dir+"/config.exs", read(b.T, "test/e2e/testdata/config.exs"))
	var want []string
	tried := make(map[string]bool)
	for i, page := range []string{clientsPage, migratingPage} {
		for j, s := range snippets(b.T, page, "elixir") {
			name := fmt.Sprintf("%d-%02d.", i, j)
			switch {
			case strings.HasPrefix(s.Text, "# config/runtime.exs\n"):
				name += "runtime.exs"
				tried[s.Heading] = true
				want = append(want, name+" prod "+askedFor[s.Heading], name+" test")
				s.Text = "import Config\n" + s.Text
			case strings.Contains(s.Text, "\ndefmodule "):
				name += "module.ex"
			default:
				name += "ex"
			}
			b.write(dir+"/"+name, s.Text)
		}
	}
	for section := range askedFor {
		assert.Contains(b, tried, section, "a section has no config/runtime.exs")
	}
	b.kubectl("create configmap erlang --from-file=%s", dir)
	var got []string
	for line := range strings.Lines(b.exec(b.tools(), "sh", "-euc", evaluate)) {
		if strings.Contains(line, ".runtime.exs ") { // not how long it takes to compile
			got = append(got, strings.TrimSpace(line))
		}
	}
	b.should(watch.Same("what is asked for", got, want))
}

// tools starts a pod to ask from, which is no member.
func (b *bed) tools() string {
	b.apply(b.here(`apiVersion: apps/v1
kind: Deployment
metadata: {name: tools, namespace: prod}
spec:
  selector: {matchLabels: {app: tools}}
  template:
    metadata: {labels: {app: tools}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: tools, image: shop, volumeMounts: [{name: erlang, mountPath: /etc/erlang}]}]
      volumes: [{name: erlang, configMap: {name: erlang}}]
`))
	b.rolledOut("deployment/tools")
	return "deployment/tools"
}
