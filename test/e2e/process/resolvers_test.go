package process

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// resolver is a way to ask CoreDNS that somebody's name server has.
type resolver struct {
	name string
	*program
	zone string // in its configuration, for each zone
	// validates is a pattern of names whose answers it finds to be signed.
	validates *regexp.Regexp
	// aggressive is set if it takes the denial of one type for that of others (RFC 8198).
	aggressive bool
	address    string
}

var (
	signed = regexp.MustCompile(`(^|\.)(signed\.internal|20\.172\.in-addr\.arpa)$`)
	// kresd asks for a DS record at each name between, and *dnssec* says that an unsigned zone begins there.
	notBelow = regexp.MustCompile(`^(([^.]+\.)?signed\.internal|20\.172\.in-addr\.arpa)$`)
)

// forged is a name in a signed zone that does not exist, and of which there is an answer that nobody has signed.
const forged = "forged.signed.internal"

const kresZone = "policy.add(policy.suffix(policy.%s('$SERVER'), policy.todnames({'%%s'})))\n"

var resolverTable = []resolver{
	{name: "CoreDNS"},
	{name: "unbound-stub", program: &unbound, zone: "stub-zone:\n  name: %s\n  stub-addr: $SERVER\n",
		validates: signed, aggressive: true},
	{name: "unbound-forward", program: &unbound, zone: "forward-zone:\n  name: %s\n  forward-addr: $SERVER\n",
		validates: signed, aggressive: true},
	{name: "named-stub", program: &named, zone: "zone %s { type stub; primaries { $SERVER; }; };\n", validates: signed},
	{name: "named-static-stub", program: &named, zone: "zone %s { type static-stub; server-addresses { $SERVER; }; };\n",
		validates: signed},
	{name: "named-forward", program: &named,
		zone: "zone %s { type forward; forward only; forwarders { $SERVER; }; };\n", validates: signed},
	{name: "kresd-stub", program: &kresd, zone: fmt.Sprintf(kresZone, "STUB")},
	{name: "kresd-forward", program: &kresd, zone: fmt.Sprintf(kresZone, "FORWARD"), validates: notBelow},
}

// lookup is a question, and the data that there are or a response code.
type lookup struct{ question, want string }

// isExact reports whether it keeps the order of a set, and nothing of TTL 0. Others keep that to the end of the second.
func (r *resolver) isExact() bool { return r.program == nil || r.program == &unbound }

// ask asks a resolver, and returns an error for each answer that is not the one that is wanted.
func (r *resolver) ask(t *testing.T, from *cluster.Host, network string, lookups ...lookup) error {
	t.Helper()
	var errs []error
	for _, l := range lookups {
		name, qtype, _ := strings.Cut(l.question, " ")
		m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
		m.SetEdns0(1232, false)
		m.AuthenticatedData = true // it is to say whether it has found that
		conn, err := from.Dial(t.Context(), network, r.address)
		if err == nil {
			m, _, err = (&dns.Client{Timeout: 10 * time.Second}).ExchangeWithConn(m, &dns.Conn{Conn: conn})
			conn.Close()
		}
		if err == nil {
			want, isSigned := strings.Fields(l.want), signed.MatchString(name)
			if l.want == "NXDOMAIN" && isSigned && r.validates != nil {
				want = nil // that is how *dnssec* says it
			}
			secure := name != forged && r.validates != nil && r.validates.MatchString(name)
			err = watch.Same("data", watch.Values(m), want)
			if err == nil && r.isExact() && !slices.IsSortedFunc(m.Answer, func(a, b dns.RR) int { return strings.Compare(a.String(), b.String()) }) {
				err = fmt.Errorf("not in the order of CoreDNS: %v", m.Answer)
			}
			if err == nil && isSigned && m.AuthenticatedData != secure {
				err = fmt.Errorf("validated: got %t, want %t", m.AuthenticatedData, secure)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s over %s: %w", l.question, network, err))
		}
	}
	return errors.Join(errs...)
}

// signingKey makes a key for a zone, which *dnssec* reads from files of a name.
func signingKey(t *testing.T, zone string) (key *dns.DNSKEY, file string) {
	t.Helper()
	key = &dns.DNSKEY{Hdr: dns.RR_Header{Name: dns.Fqdn(zone), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), zone)
	write(t, file+".key", key.String()+"\n")
	write(t, file+".private", key.PrivateKeyString(private.(*ecdsa.PrivateKey)))
	return key, file
}

// isPolicy matches the complaints of zonemaster about any zone of a private network with one name server.
var isPolicy = regexp.MustCompile(`(?m)^.* ERROR +(NAMESERVER_IP_PRIVATE_NETWORK|NOT_ENOUGH_(IPV4_)?NS_(DEL|CHILD)) .*\n`)

// checkZone checks a zone and its transfer with programs of others.
func checkZone(t *testing.T, host *cluster.Host, at, zone string) {
	t.Helper()
	text, err := host.Run(t.Context(), "dig", "-r", "+noall", "+answer", "+onesoa", "@"+at, zone, "AXFR")
	require.NoError(t, err)
	assert.Contains(t, text, "SOA")
	file := write(t, filepath.Join(t.TempDir(), zone), text)
	for _, check := range [][]string{{"named-checkzone", "-i", "local", zone, file}, {"nsd-checkzone", zone, file},
		{"ldns-read-zone", file}} {
		_, err := host.Run(t.Context(), check...)
		assert.NoError(t, err, text)
	}
	out, err := host.Run(t.Context(), "zonemaster-cli", "--raw", "--no-ipv6", "--level", "ERROR", "--ns", "ns.dns."+zone+"/"+at, zone)
	require.NoError(t, err)
	assert.Regexp(t, isPolicy, out)
	assert.Empty(t, isPolicy.ReplaceAllString(out, ""), "complaints of zonemaster that are not about any such zone")
}

// resolvers has name servers of others ask for all kinds of names.
func resolvers(t *testing.T, b *bed) {
	b.open(t, pods, listWatch)
	secret := b.namespace(t, "secret")
	block := func(zones, options string) string {
		return fmt.Sprintf("longnames %s {\nservice_account %s\nlookup pods\nhold 0\n%s\n}\n", zones, b.account, options)
	}
	at, anchors := b.address(0), make(map[*program]string)
	vault := "selector app=vault\nbasename vault\nmode hostname\ncluster_domain signed.internal\nttl 1"
	s := b.server(t, 0, "transfer {\nto *\n}\n"+
		block("shop.erl.internal 10.in-addr.arpa d.f.ip6.arpa",
			"selector app=shop\nbasename shop\nttl 0")+
		block("erl.internal 10.in-addr.arpa",
			"selector app=queue\nbasename rabbit\nmode hostname\ncluster_domain erl.internal\nttl 0")+
		block("apps.erl.internal", "group_by app\nttl 0")+
		block("secret.erl.internal", "namespaces "+secret+"\nselector app=shop\nbasename shop\nstartup_timeout 1s\nttl 0"))
	text := strings.TrimSuffix(read(t, s.corefile), "}\n")
	for zone, more := range map[string]string{"signed.internal": "", "20.172.in-addr.arpa": "unsigned.internal "} {
		key, file := signingKey(t, zone)
		for _, p := range []*program{&unbound, &named, &kresd} {
			anchors[p] += fmt.Sprintf(p.anchor, key.Hdr.Name, key.Flags, key.Protocol, key.Algorithm, key.PublicKey)
		}
		text += fmt.Sprintf("}\n%s:53 {\nbind %s\ntransfer {\nto *\n}\ndnssec {\nkey file %s\n}\n%s", zone, at, file,
			block(more+zone, vault))
	}
	write(t, s.corefile, text+fmt.Sprintf("}\n%s:53 {\nbind %s\ntemplate IN A {\nanswer \"{{ .Name }} 0 IN A 192.0.2.1\"\n}\n}\n",
		forged, at))
	s.may(`plugin/longnames: secret\.erl\.internal\. API server forbids `)
	s.start()

	zones := []string{"erl.internal", "10.in-addr.arpa", "d.f.ip6.arpa", "signed.internal", "20.172.in-addr.arpa"}
	host := b.NewHost(t, b.name+"-others", b.address(5))
	_, err := host.Run(t.Context(), "ip", "route", "del", "default") // or they would look for the root of all names
	require.NoError(t, err)
	cluster.Many(t, 0, len(resolverTable), func(i int) {
		r := &resolverTable[i]
		if r.program == nil {
			r.address = net.JoinHostPort(at, "53")
			return
		}
		port := fmt.Sprint(5300 + i)
		r.address = net.JoinHostPort(host.Address, port)
		more := anchors[r.program]
		for _, zone := range zones {
			more += fmt.Sprintf(r.zone, zone)
		}
		r.start(t, host, r.name, host.Address, port, []string{at}, more)
		for _, zone := range zones { // a stub zone has to be read before
			soon(t, r.name+" has "+zone, func() error { return r.ask(t, host, "udp", lookup{zone + " MX", ""}) })
		}
	})

	// each asks all resolvers once CoreDNS has the answers. Some may have them later.
	each := func(what string, mayWait func(*resolver) bool, lookups ...lookup) {
		t.Helper()
		soon(t, what, func() error { return resolverTable[0].ask(t, host, "udp", lookups...) })
		cluster.Many(t, 0, len(resolverTable), func(i int) {
			r, begin := &resolverTable[i], time.Now()
			network := []string{"udp", "tcp"}[i%2]
			err := r.ask(t, host, network, lookups...)
			if err != nil && mayWait(r) {
				err = cluster.Poll(patience, what, func() error { return r.ask(t, host, network, lookups...) })
				t.Logf("%s: %s: after %.1f s", r.name, what, time.Since(begin).Seconds())
			}
			assert.NoError(t, err, "%s: %s", r.name, what)
		})
	}
	none, inexact, anyone := func(*resolver) bool { return false }, func(r *resolver) bool { return !r.isExact() },
		func(*resolver) bool { return true }

	addresses := append(b.some(10, 13, "%s"), "fd00::11")
	create := func(app string, i int, address string, change ...func(*corev1.Pod)) {
		b.pod(t, b.prod, app, fmt.Sprintf("%s-%d", app, i), address, change...)
	}
	shop := func(members ...int) (set, nodes []lookup) {
		wants := map[string]string{"shop.erl.internal SRV": "", "shop.erl.internal TXT": "", "shop.erl.internal A": "",
			"shop.erl.internal AAAA": "", "_epmd._tcp.shop.erl.internal SRV": ""}
		for i, address := range addresses {
			one, ptr := "NXDOMAIN", "NXDOMAIN"
			if slices.Contains(members, i) {
				one, ptr = "shop@"+address, address
				wants["shop.erl.internal TXT"] += " " + one
				for _, question := range []string{"shop.erl.internal SRV", "_epmd._tcp.shop.erl.internal SRV",
					"shop.erl.internal A" + strings.Repeat("AAA", strings.Count(address, "::"))} {
					wants[question] += " " + address
				}
			}
			nodes = append(nodes, lookup{shopName(i) + ".shop.erl.internal TXT", one}, lookup{watch.Reverse(address) + " PTR", ptr})
		}
		for question, want := range wants {
			set = append(set, lookup{question, want})
		}
		return set, nodes
	}
	queue := func(n int) (out []lookup) {
		var hosts []string
		for i := range n {
			host := fmt.Sprintf("queue-%d.queue.%s.svc.erl.internal", i, b.prod)
			hosts = append(hosts, host)
			out = append(out, lookup{host + " A", b.address(20 + i)}, lookup{watch.Reverse(b.address(20+i)) + " PTR", host},
				lookup{fmt.Sprintf("queue-%d.erl.internal TXT", i), "rabbit@" + host})
		}
		return append(out, lookup{"erl.internal SRV", strings.Join(hosts, " ")})
	}
	vaults := []string{"vault-0.vault." + b.prod + ".svc.signed.internal", "vault-1.vault." + b.prod + ".svc.signed.internal"}
	others := []lookup{
		{"shop.erl.internal MX", ""},
		{"_tcp.shop.erl.internal SRV", ""},
		{"nobody.shop.erl.internal A", "NXDOMAIN"},
		{"_nothing._tcp.shop.erl.internal SRV", "NXDOMAIN"},
		{"erl.internal AAAA", ""},
		{"svc.erl.internal A", ""},
		{b.prod + ".svc.erl.internal A", ""},
		{b.prod + ".apps.erl.internal TXT", ""},
		{"queue." + b.prod + ".apps.erl.internal TXT", "queue@" + b.address(20) + " queue@" + b.address(21)},
		{"_tcp.queue." + b.prod + ".apps.erl.internal SRV", ""},
		{"nobody." + b.prod + ".apps.erl.internal TXT", "NXDOMAIN"},
		{"queue.nowhere.apps.erl.internal TXT", "NXDOMAIN"},
		{"10.in-addr.arpa A", ""},
		{"9.9.9.10.in-addr.arpa PTR", "NXDOMAIN"},
		{"signed.internal SRV", strings.Join(vaults, " ")},
		{"signed.internal TXT", "vault@" + vaults[0] + " vault@" + vaults[1]},
		{"signed.internal A", "172.20.0.1 172.20.0.2"},
		{"signed.internal AAAA", ""},
		{"_epmd._tcp.signed.internal SRV", strings.Join(vaults, " ")},
		{"_tcp.signed.internal SRV", ""},
		{"vault-0.signed.internal A", "172.20.0.1"},
		{vaults[1] + " A", "172.20.0.2"},
		{b.prod + ".svc.signed.internal A", ""},
		{"nobody.signed.internal A", "NXDOMAIN"},
		{"1.0.20.172.in-addr.arpa PTR", vaults[0]},
		{"secret.erl.internal A", "SERVFAIL"},
	}
	for i := range 2 {
		create("shop", i, addresses[i])
		create("queue", i, b.address(20+i), hosted)
		create("vault", i, fmt.Sprintf("172.20.0.%d", 1+i), hosted)
	}
	create("shop", 3, addresses[3])
	set, nodes := shop(0, 1, 3)
	lookups := slices.Concat(set, nodes, queue(2), others)
	each("first", none, lookups...)
	each("again", none, lookups...)
	create("queue", 2, b.address(22), hosted)
	each("one more, with a TTL", anyone, queue(3)...)
	b.pod(t, secret, "shop", "shop-0", b.address(30))
	b.grant(t, b.prod, secret, pods, listWatch) // which is seen in a while

	create("shop", 2, addresses[2])
	set, nodes = shop(0, 1, 2, 3)
	each("one more", inexact, slices.Concat(set, nodes)...)
	cluster.Many(t, 0, 4, func(i int) { b.DeletePod(t, b.prod, shopName(i)) })
	set, nodes = shop()
	each("nobody", inexact, slices.Concat(set, nodes)...)
	create("shop", 1, addresses[1])
	set, nodes = shop(1)
	each("one after nobody", inexact, slices.Concat(set, nodes)...)
	each("all zones", anyone, lookup{"secret.erl.internal A", b.address(30)}, lookup{"secret.erl.internal AAAA", ""},
		lookup{"nobody.secret.erl.internal A", "NXDOMAIN"})

	zones = append(zones, "shop.erl.internal", "apps.erl.internal")
	s.may(`plugin/errors: 2 (xn--nameservertest\..*|\. NS): `) // zonemaster looks whether it answers for all names
	cluster.Many(t, 0, len(zones), func(i int) { checkZone(t, host, at, zones[i]) })

	// These are faults of *dnssec*, see docs/plugins.md.
	for i := range resolverTable {
		r, ptr := &resolverTable[i], lookup{"2.0.20.172.in-addr.arpa PTR", vaults[1]}
		if r.aggressive {
			ptr.want = "" // the denial of A does not say that there is PTR
		}
		// Each denial of DS says that an unsigned zone begins there.
		assert.NoError(t, r.ask(t, host, "udp", lookup{"2.0.20.172.in-addr.arpa A", ""}, ptr, lookup{forged + " A", "192.0.2.1"}), r.name)
	}
}
