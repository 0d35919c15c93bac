package peers

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const groupByService = "group_by kubernetes.io/service-name"

func measureUDP(b *bed, r *report) {
	members := b.clusters(3, 10)[10]
	few, many := b.ourName(sized(3)), b.ourName(sized(10))
	zone := ourZone + ".\t5\tIN\tSOA\tns.dns hostmaster 1 7200 1800 86400 5\n" + ourZone + ".\t5\tIN\tNS\tns.dns\n"
	for _, a := range members {
		zone += fmt.Sprintf("%s\t5\tIN\tTXT\t%s@%s\n", many, sized(10), a)
	}
	zoneFile := filepath.Join(b.dir, "zone")
	require.NoError(b, os.WriteFile(zoneFile, []byte(zone), 0o600))
	ours, kubernetes := b.newPair(groupByService, "")
	whoami := b.newServer("whoami", "whoami")
	file := b.newServer("file", fmt.Sprintf("file %s %s {\nreload 0\n}", zoneFile, ourZone))
	for _, s := range []*server{ours, kubernetes, whoami, file} {
		s.start()
	}
	text, theirs := ours.loaded("udp", 0, many, "TXT", 10), file.loaded("udp", 0, many, "TXT", 10)
	for _, l := range []*loaded{text, theirs} {
		for _, a := range members {
			want := sized(10) + "@" + a.String()
			require.Contains(b, string(l.verified()), string(rune(len(want)))+want, "TXT records of %s", l.name)
		}
	}
	r.faster("SRV, 3 members, UDP", 0.9, ours.loaded("udp", 0, few, "SRV", 3), whoami.loaded("udp", 0, few, "SRV", 0))
	// Without EDNS that of *kubernetes* would be cut off at 512 bytes.
	r.faster("SRV, 10 members, UDP with EDNS", 1.5,
		ours.loaded("udp", 4096, many, "SRV", 10), kubernetes.loaded("udp", 4096, b.theirName(sized(10)), "SRV", 10))
	r.faster("TXT, 10 members, UDP", 1, text, theirs)
}

func measureTCP(b *bed, r *report) {
	b.clusters(100)
	b.byHand(sized(busySize), busySize)
	ours, kubernetes := b.newPair(groupByService, "")
	ours.start()
	kubernetes.start()
	few := ours.loaded("tcp", 0, b.ourName(sized(100)), "SRV", 100)
	lots := ours.loaded("tcp", 0, b.ourName(sized(busySize)), "SRV", busySize)
	theirs := kubernetes.loaded("tcp", 0, b.theirName(sized(100)), "SRV", 100)
	r.faster("SRV, 100 members, TCP", 3, few, theirs)

	few.figures, theirs.figures = make(figures), make(figures)
	for range *rounds {
		for _, l := range []*loaded{few, theirs, lots} {
			l.patiently()
		}
	}
	const how = "truncated over UDP, then a new TCP connection"
	r.add(b, "SRV, 100 members, "+how, few.String(), theirs.String(), few.median("rate")/theirs.median("rate"), goal{})
	r.add(b, "SRV, 1 000 members, "+how, lots.String(), "", 1, goal{})
}

// faster puts load on two servers in turns, and adds a goal for the ratio of their rates.
func (r *report) faster(work string, least float64, ours, theirs *loaded) {
	for range *rounds {
		ours.dnsperf()
		theirs.dnsperf()
	}
	ratio := ours.median("rate") / theirs.median("rate")
	r.add(ours, work, ours.String(), theirs.String(), ratio, goal{fmt.Sprintf("≥ %.1f", least), least / ratio, 0.1})
}

// loaded is a server, and a question that it is asked as fast as it answers.
type loaded struct {
	*server
	network  string
	edns     uint16 // how many bytes the questions offer, or 0
	question [2]string
	answers  int
	size     float64
	figures
}

func (l *loaded) String() string {
	return fmt.Sprintf("%s %.0f/s, %.1f µs of CPU", l.name, l.median("rate"), l.median("CPU"))
}

// add takes what a round has come to.
func (l *loaded) add(rate, cpu, answers float64) {
	l.figures.add("rate", rate)
	l.figures.add("CPU", cpu/answers*1e6)
	l.Logf("%s %s: %.0f/s", l.name, l.question, rate)
}

// loaded returns load with one question, once the server has so many answers to it.
func (s *server) loaded(network string, edns uint16, name, qtype string, answers int) *loaded {
	s.knows(name, qtype, answers)
	l := &loaded{server: s, network: network, edns: edns, question: [2]string{name, qtype}, answers: answers,
		figures: make(figures)}
	l.size = float64(len(l.verified()))
	return l
}

// verified asks once, as dnsperf will, and returns the answer if it is whole.
func (l *loaded) verified() answer {
	a, err := l.ask(l.network, l.question[0], l.question[1], l.edns)
	require.NoError(l, err)
	require.Equal(l, "NOERROR", a.rcode(), "%s %s", l.name, l.question)
	require.Equal(l, l.answers, a.records(), "answers of %s %s", l.name, l.question)
	require.False(l, a.truncated(), "%s %s", l.name, l.question)
	return a
}

// dnsperf measures for a while.
func (l *loaded) dnsperf() {
	questions := filepath.Join(l.dir, "questions")
	require.NoError(l, os.WriteFile(questions, []byte(l.question[0]+" "+l.question[1]+"\n"), 0o600))
	args := []string{"dnsperf", "-s", l.address, "-m", l.network, "-d", questions, "-c", "4", "-l",
		fmt.Sprint(load.Seconds())}
	if l.edns > 0 {
		args = append(args, "-e") // 4096 bytes
	}
	before := l.cpu()
	p := l.run("dnsperf", nil, args...)
	err := p.Err()
	used := l.cpu() - before
	rate, completed, err2 := perfResult(p.Output(), l.size)
	require.NoError(l, errors.Join(err, err2), "%s: %s", l.name, p.Output())
	l.add(rate, used, completed)
}

var perfFigures = regexp.MustCompile(`(?s)Queries sent: +(\d+)\n.*Queries completed: +(\d+) .*` +
	`Response codes: +NOERROR \d+ \(100\.00%\)\n.*Average packet size: +request \d+, response (\d+)\n.*Queries per second: +([0-9.]+)\n`)

// perfResult reads what dnsperf prints: answers a second, and all of them. They have to be good, and to have so many bytes
// on average, give or take one in a hundred: dnsperf rounds, and addresses differ in length. Next to none may be lost.
func perfResult(said string, size float64) (rate, completed float64, err error) {
	found := perfFigures.FindStringSubmatch(said)
	if found == nil {
		return 0, 0, fmt.Errorf("nothing matches %s", perfFigures)
	}
	var n [4]float64
	for i := range n {
		n[i], _ = strconv.ParseFloat(found[1+i], 64) // it matches
	}
	if sent, completed, got := n[0], n[1], n[2]; completed < 0.999*sent || math.Abs(got-size) > max(1, 0.01*size) {
		return 0, 0, fmt.Errorf("got %.0f answers to %.0f questions, of %.0f bytes on average, want all, of %.0f", completed,
			sent, got, size)
	}
	return n[3], n[1], nil
}

// patiently asks as OTP's inet_res does for a cluster that is too large for UDP: over UDP without EDNS first, and as that
// answer is truncated, over a new TCP connection. dnsperf cannot do that. Four ask at once.
func (l *loaded) patiently() {
	name, qtype := l.question[0], l.question[1]
	var total atomic.Int64
	var g errgroup.Group
	before, begin := l.cpu(), time.Now()
	for range 4 {
		g.Go(func() error {
			for ; time.Since(begin) < *load; total.Add(1) {
				over, err := l.ask("udp", name, qtype, 0)
				if err != nil || !over.truncated() {
					return errors.Join(err, fmt.Errorf("%s over UDP: got no truncated answer", name))
				}
				whole, err := l.ask("tcp", name, qtype, 0)
				if err != nil || whole.truncated() || whole.records() != l.answers {
					return errors.Join(err, fmt.Errorf("%s over TCP: got %d bytes, want %d records", name, len(whole), l.answers))
				}
			}
			return nil
		})
	}
	require.NoError(l, g.Wait())
	answers := float64(total.Load())
	l.add(answers/time.Since(begin).Seconds(), l.cpu()-before, answers)
}

func TestPerfResult(t *testing.T) {
	const said = "  Queries sent:         50010\n  Queries completed:    50000 (99.98%)\n  Queries lost:         10 (0.02%)\n\n" +
		"  Response codes:       NOERROR 50000 (100.00%)\n  Average packet size:  request 45, response 280\n" +
		"  Run time (s):         1.000000\n  Queries per second:   50000.500000\n"
	for _, tt := range []struct {
		name, from, to string
		good           bool
	}{
		{"Good", "", "", true},
		{"SomeRefused", "NOERROR 50000 (100.00%)", "NOERROR 49000 (98.00%), REFUSED 1000 (2.00%)", false},
		{"ManyLost", "completed:    50000", "completed:    49000", false},
		{"Truncated", "response 280", "response 45", false},
		{"OneOf10MembersMissing", "response 280", "response 256", false},
		{"NoSize", "Average packet size", "Average", false},
	} {
		rate, completed, err := perfResult(strings.Replace(said, tt.from, tt.to, 1), 280)
		if (err == nil) != tt.good || tt.good && (rate != 50000.5 || completed != 50000) {
			t.Errorf("%s: got %v answers a second, %v in all, error %v; want 50000.5, 50000, success: %t", tt.name, rate,
				completed, err, tt.good)
		}
	}
}
