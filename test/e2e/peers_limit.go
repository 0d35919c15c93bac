package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// limited is a question that a BEAM node asks over UDP, without EDNS.
type limited struct {
	mode, qtype string
	most        int // records in the largest answer that is whole
	possible    int // by the wire format
}

func (l *limited) name() string { return l.mode + ".erl.internal." }

// limitSize is more members than any answer has room for.
const limitSize = 32

// limit is about how many members fit into an answer of 512 bytes. The cluster grows one by one.
func (p *peers) limit(t *trial) {
	const service = "shop"
	ns := t.namespace("prod", podPolicy{families: "46"})
	t.service(ns, service, families(corev1.IPv4Protocol, corev1.IPv6Protocol))
	var plugins strings.Builder
	for block, option := range map[string]string{"ip": "mode ip", "dns": "mode dns", "hostname": "mode hostname", "ipv6": "family ipv6"} {
		fmt.Fprintf(&plugins, "longnames %s.erl.internal {\nkubeconfig %s\nnamespaces %s\nselector app\nbasename %s\n%s\n}\n",
			block, t.adminConfig(), ns, service, option)
	}
	s := t.newPeer("longnames", 0, plugins.String())
	s.start()
	all := []*limited{
		{mode: "ip", qtype: "A"},
		{mode: "ipv6", qtype: "AAAA"},
		{mode: "ip", qtype: "SRV"},
		{mode: "dns", qtype: "SRV"},
		{mode: "hostname", qtype: "SRV"},
		{mode: "ip", qtype: "TXT"},
		{mode: "dns", qtype: "TXT"},
		{mode: "hostname", qtype: "TXT"},
	}
	for n := 1; n <= limitSize; n++ {
		pod := fmt.Sprintf("%s-%d", service, 9+n) // all names have the same length
		t.pod(ns, service, pod, "", hosted(service))
		for _, l := range all {
			s.knows(l.name(), l.qtype, n)
			if s.whole(l) {
				l.most = n
			}
		}
	}
	one := t.podsOf(ns, service, limitSize)[0]
	ours, possible := make([]string, 0, len(all)), make([]string, 0, len(all))
	met := true
	for _, l := range all {
		l.possible = room(l.name(), l.size(service, one))
		met = met && l.most >= l.possible-1
		ours = append(ours, fmt.Sprintf("%s %s %d", l.mode, l.qtype, l.most))
		possible = append(possible, strconv.Itoa(l.possible))
	}
	p.goals = append(p.goals, goal{
		work: "records in 512 bytes", ours: strings.Join(ours, ", "), theirs: "wire format " + strings.Join(possible, ", "),
		want: "one less at the most", met: met,
	})
}

// whole tells whether an answer over UDP is.
func (p *peer) whole(l *limited) bool {
	ask := p.asker("udp", l.name(), l.qtype, 0)
	defer ask.close()
	answer, err := ask.ask()
	p.t.must(err)
	const truncated = 1 << 1
	return answer[2]&truncated == 0
}

// size is what the data of a member's record take.
func (l *limited) size(basename string, pod corev1.Pod) int {
	host := hostOf(l.mode, pod, "cluster.local")
	switch l.qtype {
	case "A":
		return 4
	case "AAAA":
		return 16
	case "SRV": // its target may not be compressed
		return 6 + wireLength(host+".")
	default: // TXT
		return 1 + len(basename+"@"+host)
	}
}

// wireLength is that of a name in full: a byte before each label, and the root.
func wireLength(name string) int { return len(name) + 1 }

// room is how many records fit into 512 bytes behind a header and a question, if each refers to the name in there.
func room(name string, data int) int {
	const header, typeAndClass, reference, ttlAndLength = 12, 4, 2, 6
	return (dns.MinMsgSize - header - wireLength(name) - typeAndClass) / (reference + typeAndClass + ttlAndLength + data)
}
