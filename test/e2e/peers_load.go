package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// loaded is a server, and a question that it is asked as fast as it answers.
type loaded struct {
	*peer
	question string
	rates    []float64 // answers a second, one for each round
}

// udp and tcp ask for clusters of pods of a real Service each.
func (p *peers) udp(t *trial) {
	ns := t.clustersOf(3, 10)
	ours, kubernetes := t.newPeer("longnames", 0, t.longnamesPlugin(ns, groupByService)), t.newPeer("kubernetes", 1, t.kubernetesPlugin(ns))
	whoami, file := t.newPeer("whoami", 2, "whoami"), t.newPeer("file", 3, t.filePlugin(ns, sized(10), 10))
	t.startAll(ours, kubernetes, whoami, file)

	three, floor := t.load(ours, ourName(sized(3), ns)+" SRV", 3), t.load(whoami, ourName(sized(3), ns)+" SRV", 0)
	p.turns(t, "udp", "", three, floor)
	p.ratio("SRV, 3 members, UDP", "whoami", "%.0f/s", median(three.rates), median(floor.rates), "≥ 0.9", atLeastRatio(0.9))

	// Without EDNS that of *kubernetes* would be cut off at 512 bytes.
	ten, theirs := t.load(ours, ourName(sized(10), ns)+" SRV", 10), t.load(kubernetes, theirName(sized(10), ns)+" SRV", 10)
	p.turns(t, "udp", "-e", ten, theirs)
	p.ratio("SRV, 10 members, UDP", "kubernetes", "%.0f/s", median(ten.rates), median(theirs.rates), "≥ 1.5", atLeastRatio(1.5))

	text, zone := t.load(ours, ourName(sized(10), ns)+" TXT", 10), t.load(file, ourName(sized(10), ns)+" TXT", 10)
	p.turns(t, "udp", "", text, zone)
	p.ratio("TXT, 10 members, UDP", "file", "%.0f/s", median(text.rates), median(zone.rates), "≥ 1.0", atLeastRatio(1))
}

func (p *peers) tcp(t *trial) {
	ns := t.clustersOf(100)
	ours, kubernetes := t.newPeer("longnames", 0, t.longnamesPlugin(ns, groupByService)), t.newPeer("kubernetes", 1, t.kubernetesPlugin(ns))
	t.startAll(ours, kubernetes)
	hundred, theirs := t.load(ours, ourName(sized(100), ns)+" SRV", 100), t.load(kubernetes, theirName(sized(100), ns)+" SRV", 100)
	p.turns(t, "tcp", "", hundred, theirs)
	p.ratio("SRV, 100 members, TCP", "kubernetes", "%.0f/s", median(hundred.rates), median(theirs.rates), "≥ 3", atLeastRatio(3))
}

func atLeastRatio(least float64) func(float64) bool {
	return func(ratio float64) bool { return ratio >= least }
}

func atMostRatio(most float64) func(float64) bool {
	return func(ratio float64) bool { return ratio <= most }
}

const groupByService = "group_by kubernetes.io/service-name"

// sized is the name of a Service with so many pods. It is short: dnsperf takes no answer above 16 KB over TCP, and
// *kubernetes* repeats the name three times for each pod.
func sized(n int) string { return fmt.Sprintf("app-%d", n) }

// clustersOf makes such Services, and their pods.
func (t *trial) clustersOf(sizes ...int) (namespace string) {
	ns := t.namespace("prod", podPolicy{})
	for _, n := range sizes {
		t.service(ns, sized(n))
		t.many(n, func(i int) { t.pod(ns, sized(n), fmt.Sprintf("%s-%d", sized(n), i), "") })
	}
	for _, n := range sizes {
		t.endpoints(ns, sized(n), n)
	}
	return ns
}

// filePlugin serves a zone file with the TXT records that *longnames* has for a Service.
func (t *trial) filePlugin(namespace, service string, n int) string {
	var zone strings.Builder
	zone.WriteString(ourZone + ".\t5\tIN\tSOA\tns.dns hostmaster 1 7200 1800 86400 5\n" + ourZone + ".\t5\tIN\tNS\tns.dns\n")
	for _, name := range longnames(service, addressesOf(t.podsOf(namespace, service, n))) {
		fmt.Fprintf(&zone, "%s\t5\tIN\tTXT\t%q\n", ourName(service, namespace), name)
	}
	path := filepath.Join(t.dir, "zone")
	t.must(os.WriteFile(path, []byte(zone.String()), 0o600))
	return fmt.Sprintf("file %s %s {\nreload 0\n}", path, ourZone)
}

func (t *trial) startAll(all ...*peer) {
	for _, p := range all {
		p.start()
	}
}

// load is what will be put on a server; it waits until that gives so many answers.
func (t *trial) load(on *peer, question string, answers int) *loaded {
	name, qtype, _ := strings.Cut(question, " ")
	on.knows(name, qtype, answers)
	return &loaded{peer: on, question: question}
}

// turns puts load on one server after the other, again and again.
func (p *peers) turns(t *trial, network, options string, on ...*loaded) {
	for range p.rounds {
		for _, l := range on {
			p.profiled(l.peer, network+"-"+strings.ReplaceAll(l.question, " ", ""), func() {
				l.rates = append(l.rates, l.dnsperf(network, options, p.load))
			})
			t.note("%s %s: %.0f/s", l.name, l.question, l.rates[len(l.rates)-1])
		}
	}
}

var (
	perfRate  = regexp.MustCompile(`Queries per second: +([0-9.]+)`)
	perfGood  = regexp.MustCompile(`Response codes: +NOERROR \d+ \(100\.00%\)\n`)
	perfCount = regexp.MustCompile(`Queries (sent|completed): +(\d+)`)
)

// dnsperf gives the answers a second. All of them have to be good, and next to none may be lost.
func (l *loaded) dnsperf(network, options string, long time.Duration) float64 {
	questions := filepath.Join(l.t.dir, "questions")
	l.t.must(os.WriteFile(questions, []byte(l.question+"\n"), 0o600))
	args := []string{"dnsperf", "-s", l.address, "-m", network, "-d", questions, "-c", "4", "-l", strconv.FormatFloat(long.Seconds(), 'f', -1, 64)}
	said, err := output(l.t.ctx, l.t.plane.name, nil, append(args, strings.Fields(options)...)...)
	l.t.must(err)
	counts := perfCount.FindAllStringSubmatch(said, 2)
	rate := perfRate.FindStringSubmatch(said)
	if len(counts) != 2 || rate == nil || !perfGood.MatchString(said) {
		l.t.failf("%s %s: %s", l.name, l.question, said)
	}
	sent, completed := l.t.figure(counts[0][2]), l.t.figure(counts[1][2])
	if completed < 0.999*sent {
		l.t.failf("%s %s: answers are lost: %s", l.name, l.question, said)
	}
	return l.t.figure(rate[1])
}

func (t *trial) figure(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	t.must(err)
	return n
}
