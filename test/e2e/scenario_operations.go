package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/miekg/dns"
)

// operationsPage is where operators read who may ask.
const operationsPage = "../../docs/operations.md"

// operationsScenarios: the examples that operators are given work.
func operationsScenarios() []scenario {
	return []scenario{
		{"operations-acl", tryACL},
		{"operations-networkpolicy", tryNetworkPolicies},
	}
}

// examples are the blocks of the page's section about security that are in a language.
func (t *trial) examples(language string) []string {
	text, err := os.ReadFile(operationsPage)
	t.must(err)
	_, security, _ := strings.Cut(string(text), "\n## Security\n")
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(security, -1)
	out := make([]string, 0, len(blocks))
	for _, found := range blocks {
		out = append(out, found[1])
	}
	if len(out) == 0 {
		t.failf("%s has no %s", operationsPage, language)
	}
	return out
}

// exampleNetwork is whom the examples allow to ask.
const exampleNetwork = "10.1.0.0/16"

// tryACL puts what the Corefiles have into a server block of ours: one pod may ask, others may not.
func tryACL(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop")
	t.pod(ns, "shop", "shop-0", "")
	members := addressesOf(t.podsOf(ns, "shop", 1))
	friend := t.address("4", 600)
	may, err := openNetns(t.asker(friend))
	t.must(err)
	defer may.close()
	for _, corefile := range t.examples("corefile") {
		t.server.serve(t.inOurs(corefile, ns, friend))
		for _, network := range []string{"udp", "tcp"} {
			m, err := t.askFrom(may, network, "shop.erl.internal", "A", 0)
			t.must(err)
			t.must(same("what who may ask gets over "+network, data(m), members))
			m, err = t.ask(network, "shop.erl.internal", "A", 0)
			t.must(err)
			t.must(same("what who may not gets over "+network, []string{dns.RcodeToString[m.Rcode]}, []string{"REFUSED"}))
		}
		t.server.end()
	}
	t.server.process = nil // it has ended
}

// inOurs takes the plugins out of a Corefile's server block that we do not have ourselves, for a namespace of ours.
func (t *trial) inOurs(corefile, namespace, friend string) string {
	_, plugins, _ := strings.Cut(corefile, "{\n")
	plugins = strings.TrimSuffix(plugins, "}\n")
	for from, to := range map[string]string{
		"    errors\n":                   "",
		"    ready\n":                    "",
		"    kubernetes cluster.local\n": "",
		"longnames {":                    "longnames shop.erl.internal {",
		"namespaces prod":                "SERVICE_ACCOUNT\nnamespaces " + namespace,
	} {
		plugins = strings.ReplaceAll(plugins, from, to)
	}
	out := strings.ReplaceAll(plugins, exampleNetwork, friend+"/32")
	if out == plugins {
		t.failf("a Corefile does not allow %s:\n%s", exampleNetwork, corefile)
	}
	return out
}
