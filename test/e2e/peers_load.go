package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// loaded is a server, and questions that it is asked as fast as it answers.
type loaded struct {
	*peer
	network   string
	edns      bool   // with room for 4096 bytes
	questions string // a line each
	size      float64
	first     *dns.Msg // an answer that has been looked at

	rates []float64 // answers a second, one for each round
	cpus  []float64 // what an answer costs the server, in microseconds of CPU time
}

// udp and tcp ask for clusters of pods of a real Service each.
func (p *peers) udp(t *trial) {
	ns := t.clustersOf(3, 10)
	ours, kubernetes := t.newPeer("longnames", 0, t.longnamesPlugin(ns, groupByService)), t.newPeer("kubernetes", 1, t.kubernetesPlugin(ns))
	whoami, file := t.newPeer("whoami", 2, "whoami"), t.newPeer("file", 3, t.filePlugin(ns, sized(10), 10))
	t.startAll(ours, kubernetes, whoami, file)

	p.faster(t, "SRV, 3 members, UDP", 0.9,
		t.load(ours, "udp", false, ourName(sized(3), ns)+" SRV", 3), t.load(whoami, "udp", false, ourName(sized(3), ns)+" SRV", 0))
	// Without EDNS that of *kubernetes* would be cut off at 512 bytes.
	p.faster(t, "SRV, 10 members, UDP with EDNS", 1.5,
		t.load(ours, "udp", true, ourName(sized(10), ns)+" SRV", 10), t.load(kubernetes, "udp", true, theirName(sized(10), ns)+" SRV", 10))
	text, zone := t.load(ours, "udp", false, ourName(sized(10), ns)+" TXT", 10), t.load(file, "udp", false, ourName(sized(10), ns)+" TXT", 10)
	t.must(same("TXT of file", data(zone.first), data(text.first)))
	p.faster(t, "TXT, 10 members, UDP", 1, text, zone)
}

func (p *peers) tcp(t *trial) {
	ns := t.clustersOf(100)
	ours, kubernetes := t.newPeer("longnames", 0, t.longnamesPlugin(ns, groupByService)), t.newPeer("kubernetes", 1, t.kubernetesPlugin(ns))
	t.startAll(ours, kubernetes)
	p.faster(t, "SRV, 100 members, TCP", 3,
		t.load(ours, "tcp", false, ourName(sized(100), ns)+" SRV", 100), t.load(kubernetes, "tcp", false, theirName(sized(100), ns)+" SRV", 100))
	p.truncated(t, ns, ours, kubernetes)
}

// faster puts load on two servers in turns, and adds a goal for the proportion of their rates.
func (p *peers) faster(t *trial, work string, least float64, ours, theirs *loaded) {
	for range p.rounds {
		for _, l := range []*loaded{ours, theirs} {
			p.profiled(l.peer, l.network+"-"+strings.ReplaceAll(l.questions, " ", ""), func() { l.dnsperf(p.load) })
			t.note("%s %s: %s", l.name, l.questions, l)
		}
	}
	p.compare(work, theirs.name, [2]string{ours.String(), theirs.String()}, median(ours.rates), median(theirs.rates),
		fmt.Sprintf("≥ %.1f", least), median(ours.rates) >= least*median(theirs.rates))
}

func (l *loaded) String() string {
	return fmt.Sprintf("%.0f/s, %.1f µs of CPU", median(l.rates), median(l.cpus))
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
func (t *trial) load(on *peer, network string, edns bool, question string, answers int) *loaded {
	l := &loaded{peer: on, network: network, edns: edns, questions: question}
	name, qtype, _ := strings.Cut(question, " ")
	on.knows(name, qtype, answers)
	l.first, l.size = l.verified(name, qtype, answers)
	return l
}

// verified asks once, as dnsperf will, and gives an answer that is whole, and its size.
func (l *loaded) verified(name, qtype string, answers int) (m *dns.Msg, size float64) {
	room := uint16(0)
	if l.edns {
		room = 4096
	}
	ask := l.asker(l.network, name, qtype, room)
	defer ask.close()
	packed, err := ask.ask()
	l.t.must(err)
	m = new(dns.Msg)
	l.t.must(m.Unpack(packed))
	if m.Rcode != dns.RcodeSuccess || m.Truncated || len(m.Answer) != answers {
		l.t.failf("%s %s %s: got %s, %d answers, truncated %t; want NOERROR, %d and false",
			l.name, name, qtype, dns.RcodeToString[m.Rcode], len(m.Answer), m.Truncated, answers)
	}
	return m, float64(len(packed))
}

var (
	perfGood      = regexp.MustCompile(`Response codes: +NOERROR \d+ \(100\.00%\)\n`)
	perfSent      = regexp.MustCompile(`Queries sent: +(\d+)`)
	perfCompleted = regexp.MustCompile(`Queries completed: +(\d+)`)
	perfRate      = regexp.MustCompile(`Queries per second: +([0-9.]+)`)
	perfSize      = regexp.MustCompile(`Average packet size: +request \d+, response (\d+)`)
)

// sizeTolerance is by how much the answers may be smaller or larger on average than those that were looked at. dnsperf
// rounds, and members move: their addresses may be written with more or fewer digits.
const sizeTolerance = 0.01

// dnsperf measures for a while.
func (l *loaded) dnsperf(long time.Duration) {
	questions := filepath.Join(l.t.dir, "questions")
	l.t.must(os.WriteFile(questions, []byte(l.questions+"\n"), 0o600))
	args := []string{"dnsperf", "-s", l.address, "-m", l.network, "-d", questions, "-c", "4", "-l", strconv.FormatFloat(long.Seconds(), 'f', -1, 64)}
	if l.edns {
		args = append(args, "-e")
	}
	before := l.cpu()
	said, err := output(l.t.ctx, l.t.plane.name, nil, args...)
	l.t.must(err)
	used := l.cpu() - before
	rate, completed, err := perfResult(said, l.size)
	if err != nil {
		l.t.failf("%s: %w: %s", l.name, err, said)
	}
	l.rates = append(l.rates, rate)
	l.cpus = append(l.cpus, used/completed*1e6)
}

// perfResult reads what dnsperf says: answers a second, and all of them. They have to be good and of so many bytes on
// average, and next to none may be lost.
func perfResult(said string, size float64) (rate, completed float64, err error) {
	if !perfGood.MatchString(said) {
		return 0, 0, errors.New("not all answers are NOERROR")
	}
	figures := make([]float64, 0, 4)
	for _, re := range []*regexp.Regexp{perfSent, perfCompleted, perfSize, perfRate} {
		found := re.FindStringSubmatch(said)
		if found == nil {
			return 0, 0, fmt.Errorf("nothing that matches %s", re)
		}
		n, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return 0, 0, err
		}
		figures = append(figures, n)
	}
	sent, completed, got, rate := figures[0], figures[1], figures[2], figures[3]
	switch {
	case completed < 0.999*sent:
		return 0, 0, fmt.Errorf("got %.0f answers to %.0f questions", completed, sent)
	case math.Abs(got-size) > max(1, sizeTolerance*size):
		return 0, 0, fmt.Errorf("answers have %.0f bytes on average, want %.0f", got, size)
	}
	return rate, completed, nil
}

func (t *trial) parsed(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	t.must(err)
	return n
}
