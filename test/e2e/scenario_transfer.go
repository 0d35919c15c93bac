package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/e2e/build"
)

// transferScenarios: a name server that is no CoreDNS follows two that are.
func transferScenarios() []scenario {
	return []scenario{{"transfer", tryTransfer}}
}

// Where the two primaries of a trial and their secondary have their addresses.
const (
	primaryAt   = 2
	secondaryAt = 4
)

// transferred are the zones that the secondary has.
var transferred = []string{"shop.erl.internal.", "10.in-addr.arpa."}

// primary is a CoreDNS, with an API server that can be away.
type primary struct {
	*peer
	wire   *wire
	starts int
	serial map[string]uint32 // of each zone, when it was looked at last
}

func (t *trial) newPrimary(i int, options string) *primary {
	name := fmt.Sprintf("primary%d", i)
	l, err := t.plane.listen("127.0.0.1:0")
	t.must(err)
	w := &wire{bed: t.bed, listener: l, to: apiAddress, conns: make(map[net.Conn]bool)}
	w.wg.Go(w.accept)
	t.cleanup(w.close)
	host, port, err := net.SplitHostPort(w.address())
	t.must(err)
	p := &primary{wire: w, serial: make(map[string]uint32)}
	p.peer = t.newPeer(name, primaryAt+i, fmt.Sprintf(`errors
		transfer {
			to * %s
			source %s
		}
		longnames shop.erl.internal 10.in-addr.arpa {
			service_account %s
			selector app=shop
			basename shop
			mode hostname
			cluster_domain shop.erl.internal
			hold 2s
			startup_timeout 1s
			%s
		}`, t.address("4", secondaryAt), t.address("4", primaryAt+i), t.server.account, options),
		"KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port, "CLUSTER_DOMAIN=")
	return p
}

// start starts it, for the first time or again.
func (p *primary) start() {
	p.starts++
	p.name = fmt.Sprintf("%s-%d", strings.SplitN(p.name, "-", 2)[0], p.starts)
	p.peer.start()
}

// reload changes the Corefile, and has it read.
func (p *primary) reload(old, replacement string) {
	text, err := os.ReadFile(p.corefile)
	p.t.must(err)
	p.t.must(os.WriteFile(p.corefile, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600)) //nolint:gosec // the file is ours
	p.process.signal(syscall.SIGUSR1)
}

// end has it end in good order, as before a restart.
func (p *primary) end() {
	p.stop()
	if found := panicked.FindString(p.process.output()); found != "" {
		p.t.failf("%s has logged %s", p.name, found)
	}
}

// look asks for the serial of a zone, which must never go back. A reload of CoreDNS may reset a connection.
func (p *primary) look(zone string) (serial uint32) {
	p.t.must(eventually(p.t.ctx, patience, func() (err error) {
		serial, err = p.t.serialAt(p.address, zone)
		return err
	}))
	if int32(serial-p.serial[zone]) < 0 { // as RFC 1982 counts
		p.t.failf("%s: the serial of %s goes back from %d to %d", p.name, zone, p.serial[zone], serial)
	}
	p.serial[zone] = serial
	return serial
}

// askAt asks a name server over TCP.
func (t *trial) askAt(server, name, qtype string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	raw, err := t.plane.dial(ctx, "tcp", net.JoinHostPort(server, "53"))
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw}
	defer conn.Close()
	client := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	m, _, err := client.ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(name, dns.StringToType[qtype]), conn)
	if err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", name, qtype, server, err)
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("%s %s at %s: %s", name, qtype, server, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

func (t *trial) serialAt(server, zone string) (uint32, error) {
	m, err := t.askAt(server, zone, "SOA")
	if err != nil {
		return 0, err
	}
	if len(m.Answer) == 1 {
		if soa, ok := m.Answer[0].(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("%s SOA at %s: %q", zone, server, m.Answer)
}

// recordsAt transfers a zone, and gives its RRsets by name and type, but for the SOA record and the addresses of the name
// server, which are those of each primary.
func (t *trial) recordsAt(server, zone string) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	raw, err := t.plane.dial(ctx, "tcp", net.JoinHostPort(server, "53"))
	if err != nil {
		return nil, err
	}
	in, err := (&dns.Transfer{Conn: &dns.Conn{Conn: raw}}).In(new(dns.Msg).SetAxfr(zone), server)
	if err != nil {
		raw.Close()
		return nil, err
	}
	var rrs []dns.RR
	for e := range in {
		if e.Error != nil {
			return nil, fmt.Errorf("transfer of %s from %s: %w", zone, server, e.Error)
		}
		rrs = append(rrs, e.RR...)
	}
	sets := setsOf(rrs)
	delete(sets, zone+" SOA")
	delete(sets, "ns.dns."+zone+" A")
	return sets, nil
}

// setsOf are the texts of records by name and type, in order.
func setsOf(rrs []dns.RR) map[string][]string {
	sets := make(map[string][]string)
	for _, rr := range rrs {
		k := strings.ToLower(rr.Header().Name) + " " + dns.TypeToString[rr.Header().Rrtype]
		sets[k] = append(sets[k], strings.TrimPrefix(rr.String(), rr.Header().Name))
	}
	for _, set := range sets {
		slices.Sort(set)
	}
	return sets
}

// sameSets tells the first difference between RRsets.
func sameSets(got, want map[string][]string) error {
	names := maps.Clone(got)
	maps.Copy(names, want)
	for _, k := range slices.Sorted(maps.Keys(names)) {
		if err := same(k, got[k], want[k]); err != nil {
			return err
		}
	}
	return nil
}

// named is BIND, as the secondary of some primaries.
func (t *trial) named(primaries ...*primary) *process {
	address := t.address("4", secondaryAt)
	namespace, cable := t.netns(fmt.Sprintf("%d-named", t.number)), fmt.Sprintf("b%d", t.number)
	t.must(newPodNetns(t.ctx, t.plane.name, namespace, cable, []netip.Addr{netip.MustParseAddr(address)}))
	t.cleanup(func() { _ = t.removeNetns(namespace) })
	dir := filepath.Join(t.dir, "named")
	t.must(os.Mkdir(dir, 0o755))
	var from strings.Builder
	for _, p := range primaries {
		fmt.Fprintf(&from, "%s; ", p.address)
	}
	var config strings.Builder
	fmt.Fprintf(&config, `options {
	directory "%s";
	pid-file none;
	session-keyfile "%[1]s/session.key";
	listen-on { %s; };
	recursion no;
	notify no;
	dnssec-validation no;
	allow-transfer { any; };
	max-records-per-type 0;
	min-refresh-time 3600; // it need not look by itself
};
controls { };
`, dir, address)
	for _, zone := range transferred {
		fmt.Fprintf(&config, "zone \"%s\" { type secondary; file \"%[1]sdb\"; primaries { %s}; };\n", zone, from.String())
	}
	file := filepath.Join(dir, "named.conf")
	t.must(os.WriteFile(file, []byte(config.String()), 0o600))
	// A copy: AppArmor keeps the packaged one, by its path, in directories of its own.
	binary := filepath.Join(dir, "named")
	t.must(build.CopyFile(binary, "/usr/sbin/named"))
	t.cleanup(func() { _ = os.Remove(binary) })
	p, err := start(namespace, t.dir, command{name: "named", args: []string{binary, "-g", "-4", "-n", "1", "-c", file}})
	t.must(err)
	t.cleanup(func() { p.stop(time.Second) })
	return p
}

// secondary is one name server that follows primaries.
type secondary struct {
	*trial
	*process
	address   string
	primaries []*primary
	told      int // how often it had been notified, when it was looked at last
}

var notified = regexp.MustCompile(`received notify for zone`)

// follows waits until the primaries have one serial, newer than before, and the secondary has that and all that there is
// at it, because it was told. It must have as many clusters' nodes as there are.
func (s *secondary) follows(what string, nodes int) {
	for _, zone := range transferred {
		last := make(map[*primary]uint32)
		for _, p := range s.primaries {
			last[p] = p.serial[zone]
		}
		s.soon(what+": "+zone+" is the same everywhere", func() error {
			serial := s.primaries[0].look(zone)
			for _, p := range s.primaries {
				if now := p.look(zone); now != serial || now == last[p] {
					return fmt.Errorf("serials of %s: %s has %d after %d, %s has %d", zone, p.name, now, last[p], s.primaries[0].name, serial)
				}
			}
			if err := s.has(zone, serial, s.primaries...); err != nil {
				return err
			}
			return s.counts(zone, nodes)
		})
	}
	s.answersAlike()
	// It may have looked because of an earlier change, which is told at once; the last one is told within a second.
	s.soon(what+": the secondary has been told", func() error {
		told := len(notified.FindAllString(s.output(), -1))
		if told == s.told {
			return errors.New("it follows, but nobody has told it to")
		}
		s.told = told
		return nil
	})
}

// has tells whether the secondary has a zone as some primaries do.
func (s *secondary) has(zone string, serial uint32, primaries ...*primary) error {
	got, err := s.serialAt(s.address, zone)
	if err != nil {
		return err
	}
	if got != serial {
		return fmt.Errorf("serial of %s: the secondary has %d, want %d", zone, got, serial)
	}
	have, err := s.recordsAt(s.address, zone)
	if err != nil {
		return err
	}
	for _, p := range primaries {
		want, err := s.recordsAt(p.address, zone)
		if err != nil {
			return err
		}
		if err := sameSets(have, want); err != nil {
			return fmt.Errorf("%s at serial %d, the secondary and %s: %w", zone, serial, p.name, err)
		}
	}
	return nil
}

// counts wants so many nodes in a zone.
func (s *secondary) counts(zone string, nodes int) error {
	sets, err := s.recordsAt(s.address, zone)
	if err != nil {
		return err
	}
	got := len(sets[zone+" TXT"])
	if strings.HasSuffix(zone, ".arpa.") {
		got = len(sets) - 1 // all but NS
	}
	if got != nodes {
		return fmt.Errorf("%s: the secondary has %d nodes, want %d", zone, got, nodes)
	}
	return nil
}

// answersAlike asks the secondary for everything, and CoreDNS too.
func (s *secondary) answersAlike() {
	questions := 0
	for _, zone := range transferred {
		sets, err := s.recordsAt(s.primaries[0].address, zone)
		s.must(err)
		for k := range sets {
			name, qtype, _ := strings.Cut(k, " ")
			theirs, err := s.askAt(s.address, name, qtype)
			s.must(err)
			for _, p := range s.primaries {
				ours, err := s.askAt(p.address, name, qtype)
				s.must(err)
				if len(theirs.Answer) == 0 {
					s.failf("%s: the secondary has no answer", k)
				}
				s.must(sameSets(setsOf(theirs.Answer), setsOf(ours.Answer)))
				questions++
			}
		}
	}
	s.note("%d answers are the same", questions)
}

func tryTransfer(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop")
	t.statefulSet(ns, "shop", "shop", 3)
	t.podsOf(ns, "shop", 3)
	t.endpoints(ns, "shop", 3)

	first, second := t.newPrimary(0, "snapshot "+filepath.Join(t.dir, "snapshot.json")), t.newPrimary(1, "")
	s := &secondary{trial: t, address: t.address("4", secondaryAt), primaries: []*primary{first, second}}
	first.start()
	second.start()
	s.process = t.named(s.primaries...)
	t.soon("the secondary has the zones", func() error {
		for _, zone := range transferred {
			// Of two that have started at different times, the newest.
			if err := s.has(zone, max(first.look(zone), second.look(zone)), s.primaries...); err != nil {
				return err
			}
		}
		return nil
	})
	for _, n := range []int32{5, 105, 4} {
		t.scale("statefulsets", ns, n)
		t.endpoints(ns, "shop", int(n))
		s.follows(fmt.Sprintf("%d nodes", n), int(n))
	}
	t.scale("statefulsets", ns, 0)
	t.endpoints(ns, "shop", 0)
	s.follows("nobody, after the hold", 0)
	t.scale("statefulsets", ns, 3)
	t.endpoints(ns, "shop", 3)
	s.follows("3 nodes", 3)

	for _, p := range s.primaries {
		p.reload("hold 2s", "hold 2s\nttl 7")
	}
	s.follows("another ttl", 3)
	t.restarts(ns, s)
}

// restarts restarts both primaries: the first one without the API server, from its snapshot, and the second one with it,
// without a snapshot, after something was deleted.
func (t *trial) restarts(ns string, s *secondary) {
	first, second := s.primaries[0], s.primaries[1]
	first.wire.now(wireFault{cut: true})
	known := first.look(transferred[0])
	t.scale("statefulsets", ns, 4)
	t.endpoints(ns, "shop", 4)
	t.soon("the secondary follows the one that sees changes", func() error {
		serial := second.look(transferred[0])
		if serial == known {
			return fmt.Errorf("%s sees nothing", second.name)
		}
		return s.has(transferred[0], serial, second)
	})
	first.end()
	first.start()
	if serial := first.look(transferred[0]); serial != known {
		t.failf("serial from the snapshot: got %d, want %d as before", serial, known)
	}
	t.must(s.has(transferred[0], second.look(transferred[0]), second)) // whatever the first one says
	first.wire.now(wireFault{})
	t.soon("the first one has caught up", func() error {
		return s.has(transferred[0], first.look(transferred[0]), s.primaries...)
	})

	t.scale("statefulsets", ns, 2)
	t.endpoints(ns, "shop", 2)
	s.follows("2 nodes", 2)
	second.end()
	second.start()
	t.soon("the second one has started again", func() error {
		return s.has(transferred[0], second.look(transferred[0]), s.primaries...)
	})
	t.scale("statefulsets", ns, 3)
	t.endpoints(ns, "shop", 3)
	s.follows("3 nodes, after restarts", 3)
	first.end()
	second.end()
}
