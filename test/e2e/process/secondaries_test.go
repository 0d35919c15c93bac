package process

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

var secondaryTable = []struct {
	program string
	of      int // the first of the primaries
}{
	{"BIND", 1}, {"BIND", 2}, {"NSD", 1}, {"NSD", 2}, {"Knot", 1}, {"Knot", 2},
}

const forward, backward = "shop.erl.internal.", "10.in-addr.arpa."

// secondary is a name server that follows some primaries.
type secondary struct {
	*cluster.Host
	t         *testing.T
	name      string
	address   string
	primaries []string          // their addresses
	last      map[string]uint32 // the serial of each zone when it was that of its primaries
	late      time.Duration     // how much later than its primaries it has had the same, at most
}

// serial asks for that of a zone.
func (s *secondary) serial(address, zone string) (uint32, error) {
	m, err := watch.Exchange(s.t.Context(), s, "udp", address, zone, "SOA", 0)
	if err == nil && len(m.Answer) == 1 {
		return m.Answer[0].(*dns.SOA).Serial, nil
	}
	return 0, fmt.Errorf("%s: SOA of %s: %v: %w", address, zone, m, errors.Join(err))
}

// zone transfers a zone, and returns its serial and the records in it, but for the addresses of the name server, which are
// those of each primary. A reload of CoreDNS may reset a connection.
func (s *secondary) zone(address, zone string) (serial uint32, records []string, err error) {
	conn, err := s.Dial(s.t.Context(), "tcp", address)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	envelopes, err := (&dns.Transfer{Conn: &dns.Conn{Conn: conn}}).In(new(dns.Msg).SetAxfr(zone), "")
	if err != nil {
		return 0, nil, err
	}
	for e := range envelopes {
		err = errors.Join(err, e.Error)
		for _, rr := range e.RR {
			if soa, ok := rr.(*dns.SOA); ok {
				serial = soa.Serial
			} else if rr.Header().Name != "ns.dns."+zone {
				records = append(records, strings.ToLower(rr.String()))
			}
		}
	}
	return serial, records, err
}

// isNode is a record that each node has one of, in either zone.
var isNode = regexp.MustCompile(`^shop\.erl\.internal\.\s.*\stxt\s|\.arpa\.\s.*\sptr\s`)

// same returns an error unless a zone is the same everywhere, with some nodes, and the secondary has the greatest serial of
// its primaries, newer than before.
func (s *secondary) same(zone string, nodes int) error {
	serial, got, err := s.zone(s.address, zone)
	var greatest uint32
	for i, p := range s.primaries {
		theirs, want, err2 := s.zone(p, zone)
		if err = errors.Join(err, err2); err == nil {
			err = watch.Same("records of "+s.name, got, want)
		}
		if i == 0 || int32(theirs-greatest) > 0 { // as RFC 1982 counts
			greatest = theirs
		}
	}
	n := len(slices.DeleteFunc(got, func(record string) bool { return !isNode.MatchString(record) }))
	if err == nil && (serial != greatest || int32(serial-s.last[zone]) <= 0 || n != nodes) {
		err = fmt.Errorf("%s: serial %d after %d, want %d; %d nodes, want %d", s.name, serial, s.last[zone], greatest, n, nodes)
	}
	if err == nil {
		s.last[zone] = serial
	}
	return err
}

// watchSerials polls the serials of a secondary until the test ends: none goes back.
func (s *secondary) watchSerials() {
	done, last := make(chan struct{}), make(map[string]uint32)
	go func() {
		defer close(done)
		for s.t.Context().Err() == nil {
			for _, zone := range []string{forward, backward} {
				serial, err := s.serial(s.address, zone)
				if before, ok := last[zone]; ok && err == nil && int32(serial-before) < 0 {
					s.t.Errorf("%s: %s: serial %d after %d", s.name, zone, serial, before)
				}
				if err == nil {
					last[zone] = serial
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	s.t.Cleanup(func() { <-done })
}

// secondaries has name servers of others follow one CoreDNS, or two.
func secondaries(t *testing.T, b *bed) {
	now := 0
	b.open(t, endpointSlices, listWatch)
	scale := func(to int) {
		t.Helper()
		b.shop(t, now, to, hosted)
		b.close(t, to, now)
		now = to
	}
	scale(3)
	b.endpoints(t, "shop", 3)
	host, at := b.NewHost(t, b.name+"-others", b.address(5)), b.some(0, 2, "%s")
	var all []*secondary
	to := ""
	for i, tt := range secondaryTable {
		port := fmt.Sprint(5300 + i)
		s := &secondary{host, t, fmt.Sprintf("%s of %d", tt.program, tt.of), net.JoinHostPort(host.Address, port),
			b.some(0, tt.of, "%s:53"), make(map[string]uint32), 0}
		all, to = append(all, s), to+" "+s.address
	}
	var primaries []*server
	for i, option := range []string{"snapshot " + t.TempDir() + "/snapshot.json", ""} {
		primaries = append(primaries, b.server(t, i, fmt.Sprintf("transfer {\nto *%s\nsource %s\n}\n", to, at[i])+
			b.block("shop.erl.internal 10.in-addr.arpa", "mode hostname", "cluster_domain shop.erl.internal", "hold 2s",
				"startup_timeout 1s", option)))
	}
	// They run before CoreDNS does: one that is told of a change while it is away is told again a minute later. But the
	// hosts are there, or they would wait for these.
	cluster.Many(t, 0, len(all), func(i int) {
		s, p, zones := all[i], secondaryPrograms[secondaryTable[i].program], ""
		for _, zone := range []string{forward, backward} {
			zones += fmt.Sprintf(p.zone, strings.TrimSuffix(zone, "."))
			for _, primary := range at[:secondaryTable[i].of] {
				zones += fmt.Sprintf(p.primary, primary)
			}
			zones += p.end
		}
		_, port, _ := net.SplitHostPort(s.address)
		p.start(t, host, strings.ReplaceAll(s.name, " ", "-"), host.Address, port, at, zones)
	})
	for _, p := range primaries {
		p.start()
	}
	for _, s := range all {
		s.watchSerials()
	}

	first, second := primaries[0], primaries[1]
	follow := func(what string) {
		t.Helper()
		for _, zone := range []string{forward, backward} {
			soon(t, what+": CoreDNS has it", func() error {
				_, records, err := all[0].zone(at[0]+":53", zone)
				_, others, err2 := all[0].zone(at[1]+":53", zone)
				n := len(slices.DeleteFunc(slices.Clone(records), func(r string) bool { return !isNode.MatchString(r) }))
				if n != now {
					err = fmt.Errorf("%d nodes, want %d: %w", n, now, errors.Join(err))
				}
				return errors.Join(err, err2, watch.Same("records", others, records))
			})
		}
		begin := time.Now()
		cluster.Many(t, 0, len(all), func(i int) {
			for _, zone := range []string{forward, backward} {
				soon(t, what+": "+zone, func() error { return all[i].same(zone, now) })
			}
			all[i].late = max(all[i].late, time.Since(begin))
		})
	}
	for _, n := range []int{5, 105, 4, 0, 3} { // nobody after the hold
		scale(n)
		follow(fmt.Sprintf("%d nodes", n))
	}

	// The first one starts again without the API server, from its snapshot. A secondary of both follows the second one.
	soon(t, "what changes now gets a newer serial than what has changed", func() error {
		serial, err := all[0].serial(at[0]+":53", forward)
		if err == nil && time.Now().Unix() <= int64(serial)+1 {
			err = fmt.Errorf("the last one is %d", serial)
		}
		return err
	})
	first.away()
	scale(4)
	sees := func(what string) {
		t.Helper()
		for _, s := range all {
			if len(s.primaries) == 1 {
				continue // it keeps what it has
			}
			soon(t, s.name+what, func() error {
				theirs, err := s.serial(s.primaries[1], forward)
				got, err2 := s.serial(s.address, forward)
				if err = errors.Join(err, err2); err == nil && (got != theirs || int32(got-s.last[forward]) <= 0) {
					err = fmt.Errorf("serial %d after %d, want %d", got, s.last[forward], theirs)
				}
				return err
			})
		}
	}
	sees(" follows the one that sees changes")
	first.end()
	first.start()
	theirs, err := all[0].serial(at[1]+":53", forward)
	got, err2 := all[0].serial(at[0]+":53", forward)
	require.NoError(t, errors.Join(err, err2))
	assert.Positive(t, int32(theirs-got), "the serial from the snapshot, %d, is older than %d", got, theirs)
	sees(" follows the one that sees changes, whatever the other one does")
	first.back()
	follow("4 nodes, of whom one was away")
	scale(2)
	follow("2 nodes")
	// The second one starts without a snapshot.
	second.end()
	second.start()
	scale(3)
	follow("3 nodes, after restarts")
	for _, s := range all {
		t.Logf("%s: at most %.1f s later than CoreDNS", s.name, s.late.Seconds())
	}
}
