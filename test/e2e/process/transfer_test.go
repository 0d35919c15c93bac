package process

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// transferred are the zones that the secondary has.
var transferred = []string{"shop.erl.internal.", "10.in-addr.arpa."}

// primary is a CoreDNS that another name server transfers zones from.
type primary struct {
	*server
	last map[string]uint32 // the serial of each zone when it was looked at last
}

// secondary is BIND, which follows two primaries.
type secondary struct {
	*cluster.Host
	t             *testing.T
	address       string
	process       *cluster.Process
	first, second *primary
}

const namedConf = `options {
	directory "%s";
	pid-file none;
	session-keyfile "%[1]s/session.key";
	listen-on { %[2]s; };
	recursion no;
	notify no;
	dnssec-validation no;
	allow-transfer { any; };
	max-records-per-type 0;
	min-refresh-time 3600; // it need not look by itself
};
controls { };
zone "shop.erl.internal" { type secondary; file "shop"; primaries { %[3]s; %[4]s; }; };
zone "10.in-addr.arpa" { type secondary; file "arpa"; primaries { %[3]s; %[4]s; }; };
`

func (b *bed) secondary(t *testing.T, n int, first, second *primary) *secondary {
	t.Helper()
	s := &secondary{b.NewHost(t, b.name+"-named", b.addresses(n)...), t, b.address(n), nil, first, second}
	dir := t.TempDir()
	// A copy: AppArmor keeps the packaged one, by its path, in directories of its own.
	must(t, build.CopyFile(dir+"/named", "/usr/sbin/named"))
	config := write(t, dir+"/named.conf", fmt.Sprintf(namedConf, dir, s.address, first.address, second.address))
	s.process = s.Start(t, "named", nil, dir+"/named", "-g", "-4", "-n", "1", "-c", config)
	soon(t, "BIND runs", func() error {
		must(t, s.process.Ended())
		if !strings.Contains(s.process.Output(), "all zones loaded") {
			return errors.New("it does not say so")
		}
		return nil
	})
	return s
}

// zone has dig transfer a zone, and returns its serial and the records in it, but for the addresses of the name server,
// which are those of each primary.
func (s *secondary) zone(server, zone string) (serial uint32, records []string, err error) {
	text, err := s.Run(s.t.Context(), "dig", "-r", "+noall", "+answer", "+tries=1", "@"+server, zone, "AXFR")
	for line := range strings.Lines(strings.ToLower(text)) {
		switch f := strings.Fields(line); { // OWNER TTL CLASS TYPE DATA
		case len(f) > 6 && f[3] == "soa":
			n, err2 := strconv.ParseUint(f[6], 10, 32)
			serial, err = uint32(n), errors.Join(err, err2)
		case len(f) > 4 && f[0] != "ns.dns."+zone:
			records = append(records, strings.Join(f, " "))
		}
	}
	if err == nil && (serial == 0 || strings.Contains(text, ";")) {
		err = fmt.Errorf("%s of %s: got %q", zone, server, text)
	}
	return serial, records, err
}

// look returns the serial of a zone, which must never go back. A reload of CoreDNS may reset a connection.
func (s *secondary) look(p *primary, zone string) (serial uint32) {
	s.t.Helper()
	soon(s.t, "there is a serial", func() (err error) {
		serial, _, err = s.zone(p.address, zone)
		return err
	})
	if int32(serial-p.last[zone]) < 0 { // as RFC 1982 counts
		s.t.Fatalf("%s: the serial of %s goes back from %d to %d", p.address, zone, p.last[zone], serial)
	}
	p.last[zone] = serial
	return serial
}

// has returns an error unless the secondary has a zone at a serial, as some primaries do.
func (s *secondary) has(zone string, serial uint32, primaries ...*primary) error {
	got, have, err := s.zone(s.address, zone)
	if err == nil && got != serial {
		err = fmt.Errorf("serial of %s: the secondary has %d, want %d", zone, got, serial)
	}
	for _, p := range primaries {
		_, want, err2 := s.zone(p.address, zone)
		err = errors.Join(err, err2, watch.Same(fmt.Sprintf("%s at serial %d of %s", zone, serial, p.address), have, want))
	}
	return err
}

// isNode is a record that each node has one of, in either zone.
var isNode = regexp.MustCompile(`^shop\.erl\.internal\. .* txt |\.arpa\. .* ptr `)

// follows waits until the primaries have one serial, newer than before, and the secondary has that and all that there is
// at it. It would not look by itself: it was told. It must have as many nodes as there are.
func (s *secondary) follows(what string, nodes int) {
	s.t.Helper()
	for _, zone := range transferred {
		before, before2 := s.first.last[zone], s.second.last[zone]
		soon(s.t, what+": "+zone+" is the same everywhere", func() error {
			now, now2 := s.look(s.first, zone), s.look(s.second, zone)
			if now != now2 || now == before || now2 == before2 {
				return fmt.Errorf("serials of the primaries: %d after %d, %d after %d", now, before, now2, before2)
			}
			_, all, err := s.zone(s.address, zone)
			all = slices.DeleteFunc(all, func(record string) bool { return !isNode.MatchString(record) })
			if err == nil && len(all) != nodes {
				err = fmt.Errorf("the secondary has %d nodes, want %d", len(all), nodes)
			}
			return errors.Join(err, s.has(zone, now, s.first, s.second))
		})
	}
}

// transfer has a name server that is no CoreDNS follow two that are.
func transfer(t *testing.T, b *bed) {
	const secondaryAt = 5
	zone, now := transferred[0], 0
	b.open(t, endpointSlices, listWatch)
	scale := func(to int) {
		t.Helper()
		b.shop(t, now, to, hosted)
		b.close(t, to, now)
		now = to
	}
	scale(3)
	b.endpoints(t, 3)
	newPrimary := func(i int, option string) *primary {
		to := fmt.Sprintf("transfer {\nto * %s\nsource %s\n}\n", b.address(secondaryAt), b.address(i))
		return &primary{b.server(t, i, to+b.block(strings.Join(transferred, " "), "mode hostname",
			"cluster_domain shop.erl.internal", "hold 2s", "startup_timeout 1s", option)), make(map[string]uint32)}
	}
	first, second := newPrimary(0, "snapshot "+t.TempDir()+"/snapshot.json"), newPrimary(1, "")
	// It runs before they do: one that is told of a change while it is away is told again a minute later. But their hosts
	// are there, or it would wait for them.
	s := b.secondary(t, secondaryAt, first, second)
	first.start()
	second.start()
	soon(t, "the secondary has the zones", func() (err error) {
		for _, zone := range transferred { // of two that have started at different times, the newest
			err = errors.Join(err, s.has(zone, max(s.look(first, zone), s.look(second, zone)), first, second))
		}
		return err
	})
	for _, n := range []int{5, 105, 4, 0, 3} { // nobody after the hold
		scale(n)
		s.follows(fmt.Sprintf("%d nodes", n), n)
	}
	for _, p := range []*primary{first, second} {
		must(t, os.WriteFile(p.corefile, []byte(strings.Replace(read(t, p.corefile), "hold 2s", "hold 2s\nttl 7", 1)), 0o600))
		p.process.Signal(syscall.SIGUSR1)
	}
	s.follows("another ttl", 3)

	// The first one starts again without the API server, from its snapshot.
	first.away()
	known := s.look(first, zone)
	scale(4)
	soon(t, "the secondary follows the one that sees changes", func() error {
		serial := s.look(second, zone)
		if serial == known {
			return errors.New("it sees nothing")
		}
		return s.has(zone, serial, second)
	})
	first.end()
	first.start()
	if got := s.look(first, zone); got != known {
		t.Errorf("serial from the snapshot: got %d, want %d as before", got, known)
	}
	must(t, s.has(zone, s.look(second, zone), second)) // whatever the first one says
	first.back()
	soon(t, "the first one has caught up", func() error { return s.has(zone, s.look(first, zone), first, second) })
	scale(2)
	s.follows("2 nodes", 2)
	// The second one does so with it, without a snapshot, after something was deleted.
	second.end()
	second.start()
	soon(t, "the second one has started again", func() error { return s.has(zone, s.look(second, zone), first, second) })
	scale(3)
	s.follows("3 nodes, after restarts", 3)
}
