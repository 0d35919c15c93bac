package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// digScenarios: what people see who look with dig from inside a pod.
func digScenarios() []scenario {
	return []scenario{
		{"dig", tryDig},
		{"dig-truncated", tryDigTruncated},
	}
}

// digging is what dig is asked, and what is in the answer.
type digging struct {
	name, qtype string
	answer      []string // the data of each record, in order
	glue        []string // whole records
	server      string
	args        []string // for dig
}

// with is about another question.
func (d digging) with(name, qtype string, answer ...string) digging {
	d.name, d.qtype, d.answer = name, qtype, answer
	return d
}

// text is all that dig prints, but for times and sizes, and with one space between two words.
func (d digging) text(transport, edns string) string {
	var b strings.Builder
	additional := len(d.glue)
	if edns != "" {
		additional++
	}
	fmt.Fprintf(&b, ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7\n")
	fmt.Fprintf(&b, ";; flags: qr aa rd; QUERY: 1, ANSWER: %d, AUTHORITY: 0, ADDITIONAL: %d\n", len(d.answer), additional)
	fmt.Fprintf(&b, ";; WARNING: recursion requested but not available\n\n")
	if edns != "" {
		fmt.Fprintf(&b, ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: %s\n", edns)
	}
	fmt.Fprintf(&b, ";; QUESTION SECTION:\n;%s IN %s\n\n;; ANSWER SECTION:\n", d.name, d.qtype)
	for _, data := range d.answer {
		fmt.Fprintf(&b, "%s 5 IN %s %s\n", d.name, d.qtype, data)
	}
	if len(d.glue) > 0 {
		fmt.Fprintf(&b, "\n;; ADDITIONAL SECTION:\n%s\n", strings.Join(d.glue, "\n"))
	}
	fmt.Fprintf(&b, "\n;; Query time\n;; SERVER: %s#53(%s) (%s)\n;; WHEN\n;; MSG SIZE\n\n", d.server, d.server, transport)
	return b.String()
}

var (
	digVaries = regexp.MustCompile(`(?m)^;; (Query time|WHEN|MSG SIZE) *:? .*$`)
	digSpace  = regexp.MustCompile(`[ \t]+`)
)

// dig runs it in a pod, where it finds the server in resolv.conf.
func (t *trial) dig(pod corev1.Pod, args ...string) string {
	_, namespace := t.kubelet.process(pod.UID)
	if namespace == "" {
		t.failf("%s does not run", pod.Name)
	}
	text, err := output(t.ctx, namespace, []string{"HOME=" + t.dir},
		append([]string{"/usr/bin/dig", "+nocmd", "+nocookie", "+qid=7"}, args...)...)
	t.must(err)
	text = digSpace.ReplaceAllString(digVaries.ReplaceAllString(text, ";; $1"), " ")
	t.keep("dig "+strings.Join(args, " "), text)
	return text
}

// digs wants the same answer by all transports and sizes.
func (t *trial) digs(pod corev1.Pod, d digging) {
	for transport, option := range map[string]string{"UDP": "+notcp", "TCP": "+tcp"} {
		for edns, size := range map[string]string{"": "+noedns", "1232": "+bufsize=1232", "4096": "+bufsize=4096"} {
			// EDNS tells the size that the server takes, and CoreDNS tells what it was told.
			args := slices.Concat(d.args, []string{d.name, d.qtype, option, size})
			t.digsExactly(d.text(transport, edns), pod, args...)
		}
	}
}

func (t *trial) digsExactly(want string, pod corev1.Pod, args ...string) {
	if got := t.dig(pod, args...); got != want {
		t.failf("dig %s: got\n%s\nwant\n%s", strings.Join(args, " "), got, want)
	}
	t.note("dig %s prints what it should", strings.Join(args, " "))
}

// idle is a pod to run something in.
func idle(pod *corev1.Pod, _ []netip.Addr) command {
	return command{name: pod.Name, pod: true, args: []string{"sleep", "infinity"}}
}

func tryDig(t *trial) {
	ns := t.namespace("prod", podPolicy{families: "46", process: idle})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop", families(corev1.IPv4Protocol, corev1.IPv6Protocol))
	for i := range 3 {
		addresses := t.address("4", 10+i) + "," + t.address("6", 10+i)
		t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), addresses, hosted("shop"))
	}
	pods := t.podsOf(ns, "shop", 3)
	block := func(zone, more string) string {
		return "longnames " + zone + " {\nSERVICE_ACCOUNT\nselector app=shop\nbasename shop\nmode hostname\n" + more + "\n}\n"
	}
	t.server.serve(block("shop.erl.internal 10.0.0.0/8", "cluster_domain shop.erl.internal") +
		block("six.erl.internal fd00::/16", "cluster_domain six.erl.internal\nfamily ipv6"))

	t.digZone(pods, "A", digging{name: "shop.erl.internal.", server: t.server.v4})
	t.digZone(pods, "A", digging{name: "sHoP.ErL.InTeRnAl.", server: t.server.v4})
	t.digZone(pods, "AAAA", digging{name: "six.erl.internal.", server: t.server.v6, args: []string{"-6"}})
}

// digZone asks for all that a zone has whose members are these, in mode hostname, with addresses of one type.
func (t *trial) digZone(members []corev1.Pod, qtype string, zone digging) {
	n := len(members)
	// The names in the question are spelt as here, and so have to be the owners of what is answered; nothing else is.
	own := zone.name
	zone.name = strings.ToLower(own)
	ask := func(name string) string {
		if own != zone.name {
			name = mixed(name)
		}
		return name
	}
	srv, txt, addresses, glue := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, pod := range members {
		host := hostOf("hostname", pod, zone.name)
		address := pod.Status.PodIPs[0].IP
		if qtype == "AAAA" {
			address = pod.Status.PodIPs[1].IP
		}
		srv[i], txt[i], addresses[i] = "0 0 4369 "+host, `"shop@`+strings.TrimSuffix(host, ".")+`"`, address
		glue[i] = host + " 5 IN " + qtype + " " + address
	}
	everybody := strings.Join(txt, "\n") + "\n"
	all := slices.Concat(zone.args, []string{"+short", strings.TrimSuffix(own, "."), "TXT"})
	t.soon("the slices have all pods", func() error { // which they need not when these are ready
		if got := t.dig(members[0], all...); got != everybody {
			return fmt.Errorf("got %q, want %q", got, everybody)
		}
		return nil
	})
	for i, address := range addresses {
		host := strings.TrimPrefix(srv[i], "0 0 4369 ")
		t.digs(members[0], zone.with(ask(host), qtype, address))
		t.digs(members[0], zone.with(ask(reverse(t, address)), "PTR", host))
		t.digsExactly(host+"\n", members[0], "+short", "-x", address)
	}
	t.digs(members[0], zone.with(own, "TXT", txt...))
	t.digs(members[0], zone.with(own, qtype, addresses...))
	services := zone.with(own, "SRV", srv...)
	services.glue = glue
	t.digs(members[0], services)
	t.digsExactly(everybody, members[0], "+short", strings.TrimSuffix(own, "."), "TXT")
}

// mixed spells a name with every other letter in upper case.
func mixed(name string) string {
	out := []byte(strings.ToLower(name))
	for i := 1; i < len(out); i += 2 {
		out[i] = strings.ToUpper(string(out[i]))[0]
	}
	return string(out)
}

// tryDigTruncated has a set that is too large for 512 bytes: dig gets it by TCP, or at once by EDNS.
func tryDigTruncated(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, pods)
	want := make([]string, 40)
	for i := range want {
		want[i] = t.address("4", 10+i)
	}
	t.many(len(want), func(i int) { t.pod(ns, "shop", fmt.Sprintf("shop-%02d", i), want[i]) })
	t.podsOf(ns, "shop", len(want))
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		lookup pods
		basename shop
	}`)
	asking := t.namespace("asking", podPolicy{process: idle})
	t.pod(asking, "asking", "asking", "")
	pod := t.podsOf(asking, "asking", 1)[0]
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		d := digging{name: "shop.erl.internal.", qtype: qtype, server: t.server.v4}
		for _, address := range want {
			data := map[string]string{"SRV": "0 0 4369 " + address + ".", "TXT": `"shop@` + address + `"`, "A": address}
			d.answer = append(d.answer, data[qtype])
		}
		t.digsExactly(";; Truncated, retrying in TCP mode.\n"+d.text("TCP", ""), pod, d.name, qtype, "+noedns")
		t.digsExactly(d.text("UDP", "4096"), pod, d.name, qtype, "+bufsize=4096")
		if cut := t.dig(pod, d.name, qtype, "+noedns", "+ignore"); !strings.Contains(cut, "\n;; flags: qr aa tc rd; QUERY: 1, ANSWER: ") {
			t.failf("it does not say that it is cut:\n%s", cut)
		}
	}
}
