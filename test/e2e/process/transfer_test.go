package process

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

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

// secondary is BIND, which follows two primaries.
type secondary struct {
	*cluster.Host
	t         *testing.T
	addresses []string          // of the primaries, and its own
	last      map[string]uint32 // the serial of each zone when it was the same everywhere
}

func (b *bed) secondary(t *testing.T, n int) *secondary {
	t.Helper()
	s := &secondary{b.NewHost(t, b.name+"-named", b.address(n)), t, append(b.some(0, 2, "%s"), b.address(n)),
		map[string]uint32{}}
	dir := t.TempDir()
	// A copy: AppArmor keeps the packaged one, by its path, in directories of its own.
	must(t, build.CopyFile(dir+"/named", "/usr/sbin/named"))
	config := write(t, dir+"/named.conf", fmt.Sprintf(namedConf, dir, s.addresses[2], s.addresses[0], s.addresses[1]))
	p := s.Start(t, "named", nil, dir+"/named", "-g", "-4", "-n", "1", "-c", config)
	p.Says(t, "all zones loaded", 0)
	return s
}

// zone has dig transfer a zone from one of them, and returns its serial and the records in it, but for the addresses of the
// name server, which are those of each primary. A reload of CoreDNS may reset a connection.
func (s *secondary) zone(from int, zone string) (serial uint32, records []string, err error) {
	text, err := s.Run(s.t.Context(), "dig", "-r", "+noall", "+answer", "+tries=1", "@"+s.addresses[from], zone, "AXFR")
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
		err = fmt.Errorf("%s of %s: got %q", zone, s.addresses[from], text)
	}
	return serial, records, err
}

// isNode is a record that each node has one of, in either zone.
var isNode = regexp.MustCompile(`^shop\.erl\.internal\. .* txt |\.arpa\. .* ptr `)

// same returns the serial of a zone and its nodes, or an error unless they are the same everywhere, and the secondary has
// the greater serial of the primaries.
func (s *secondary) same(zone string) (serial uint32, nodes int, err error) {
	greater, want, err := s.zone(0, zone)
	for other := 1; err == nil && other < 3; other++ {
		var got []string
		if serial, got, err = s.zone(other, zone); err == nil {
			err = watch.Same("records of "+s.addresses[other], got, want)
		}
		if other == 1 {
			greater = max(greater, serial)
		}
	}
	if err == nil && serial != greater {
		err = fmt.Errorf("the secondary has serial %d, want %d", serial, greater)
	}
	want = slices.DeleteFunc(want, func(record string) bool { return !isNode.MatchString(record) })
	return serial, len(want), err
}

// follows waits until both zones are the same everywhere, newer than before, and have as many nodes as there are. BIND
// would not look by itself: it was told.
func (s *secondary) follows(what string, want int) {
	s.t.Helper()
	for _, zone := range []string{"shop.erl.internal.", "10.in-addr.arpa."} {
		soon(s.t, what+": "+zone+" is the same everywhere", func() error {
			serial, nodes, err := s.same(zone)
			if err == nil && (int32(serial-s.last[zone]) <= 0 || nodes != want) { // as RFC 1982 counts
				err = fmt.Errorf("serial %d after %d, %d nodes, want %d", serial, s.last[zone], nodes, want)
			}
			if err == nil {
				s.last[zone] = serial
			}
			return err
		})
	}
}

// transfer has a name server that is no CoreDNS follow two that are.
func transfer(t *testing.T, b *bed) {
	const secondaryAt, first, second, own, zone = 5, 0, 1, 2, "shop.erl.internal."
	now := 0
	b.open(t, endpointSlices, listWatch)
	scale := func(to int) {
		t.Helper()
		b.shop(t, now, to, hosted)
		b.close(t, to, now)
		now = to
	}
	scale(3)
	b.endpoints(t, 3)
	var primaries []*server
	for i, option := range []string{"snapshot " + t.TempDir() + "/snapshot.json", ""} {
		to := fmt.Sprintf("transfer {\nto * %s\nsource %s\n}\n", b.address(secondaryAt), b.address(i))
		primaries = append(primaries, b.server(t, i, to+b.block("shop.erl.internal 10.in-addr.arpa", "mode hostname",
			"cluster_domain shop.erl.internal", "hold 2s", "startup_timeout 1s", option)))
	}
	// It runs before they do: one that is told of a change while it is away is told again a minute later. But their hosts
	// are there, or it would wait for them.
	s := b.secondary(t, secondaryAt)
	for _, p := range primaries {
		p.start()
	}
	for _, n := range []int{5, 105, 4, 0, 3} { // nobody after the hold
		scale(n)
		s.follows(fmt.Sprintf("%d nodes", n), n)
	}

	// The first one starts again without the API server, from its snapshot. BIND has the zone of the other.
	known := s.last[zone]
	primaries[first].away()
	scale(4)
	sees := func() error {
		theirs, _, err := s.zone(second, zone)
		got, _, err2 := s.zone(own, zone)
		if err = errors.Join(err, err2); err == nil && (got != theirs || int32(got-known) <= 0) {
			err = fmt.Errorf("got serial %d, want %d, and newer than %d", got, theirs, known)
		}
		return err
	}
	soon(t, "the secondary follows the one that sees changes", sees)
	primaries[first].end()
	primaries[first].start()
	theirs, _, err := s.zone(second, zone)
	if got, _, err2 := s.zone(first, zone); int32(theirs-got) <= 0 {
		t.Errorf("serial from the snapshot: got %d, want an older one than %d: %v", got, theirs, errors.Join(err, err2))
	}
	soon(t, "the secondary has what the second one says, whatever the first one does", sees)
	primaries[first].back()
	s.follows("4 nodes, of whom one was away", 4)
	scale(2)
	s.follows("2 nodes", 2)
	// The second one starts without a snapshot.
	primaries[second].end()
	primaries[second].start()
	soon(t, "the secondary has what the second one says", sees)
	scale(3)
	s.follows("3 nodes, after restarts", 3)
}
