package longnames

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// A hostile tenant writes whatever it likes into objects of its namespace, or with group_by into those of other
// groups of a namespace. Whatever is asked about the names of others gets what it would without these.

// tenancy is a block, and what honest tenants and a hostile one have in Kubernetes.
type tenancy struct {
	bits

	block                        string
	mode                         string
	lookup                       kubeapi.Lookup
	isGrouped                    bool
	isInside                     bool // the hostile tenant is in a namespace of honest ones, with groups of its own
	isOlder                      bool // its objects are
	loses                        bool // an honest pod vanishes
	isThorough                   bool // all is asked, not only some
	texts                        []string
	honest, hostile              []*kubeapi.Object
	namespaces                   map[string]bool // of the hostile tenant
	addresses, pods              map[netip.Addr]bool
	honestHosts, honestAddresses map[string]bool // host parts, and addresses
}

const tenantDomain = "a1.test."

var (
	tenantZones = []string{
		"a1.test", "svc.a1.test", "svc.a1.test pod.a1.test", "erl.a1.test", "test", "erl.internal", "A1.test erl.internal",
		"prod.pod.a1.test", "web.prod.svc.a1.test", "prod.svc.a1.test", ".",
	}
	honestNamespaces = []string{"prod", "team"}
	honestGroups     = []string{"shop", "db"}
)

// honestPod is one as Kubernetes' validation lets it be.
type honestPod struct {
	namespace, name, hostname, service, group, address string
}

var honestPods = []honestPod{
	{"prod", "web-0", "web-0", "web", "shop", "10.1.0.1"},
	{"prod", "web-1", "web-1", "web", "shop", "10.1.0.2"},
	{"prod", "shop-7d4f9-x2x4z", "", "web", "shop", "10.1.0.3"},
	{"prod", "six", "six", "web", "shop", "fd00::1"},
	{"prod", "db-0", "db-0", "db", "db", "10.1.1.1"},
	{"prod", "db-1", "db-1", "db", "db", "fd00::"},
	{"team", "web-0", "web-0", "web", "shop", "10.2.0.1"},
	{"team", "own-0", "own-0", "db", "db", "10.2.0.2"},
}

func newTenancy(b bits) *tenancy {
	w := &tenancy{
		bits: b, namespaces: make(map[string]bool), addresses: make(map[netip.Addr]bool), pods: make(map[netip.Addr]bool),
		honestHosts: make(map[string]bool), honestAddresses: make(map[string]bool),
	}
	w.mode = []string{"dns", "hostname", "ip"}[w.Next(3)]
	w.isGrouped = w.Next(2) == 0
	w.lookup = []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints}[w.Next(2)]
	zones := tenantZones[w.Next(len(tenantZones))]
	if w.isGrouped && w.mode == "hostname" && zones == "prod.svc.a1.test" {
		zones = "a1.test" // CoreDNS would not start
	}
	w.isInside, w.isOlder = w.isGrouped && w.Next(3) == 2, w.isGrouped && w.Next(3) == 2
	w.loses = w.Next(3) == 2
	w.block = fmt.Sprintf("longnames %s 10.in-addr.arpa ip6.arpa {\n lookup %s\n mode %s\n cluster_domain A1.test\n include %s\n port dist\n hold %s\n", zones, w.lookup, w.mode,
		[]string{"ready", "all", "serving"}[w.Next(3)], []string{"30s", "0"}[w.Next(2)])
	switch {
	case w.isGrouped:
		w.block += " group_by app\n"
	case w.Next(2) == 0:
		w.block += " selector app\n basename shop\n"
	default:
		w.block += " selector app\n basename label app\n"
	}
	w.block += "}"
	return w
}

func (w *tenancy) often(n int) bool { return w.Next(n) == 0 }

func (w *tenancy) pick(from ...string) string { return from[w.Next(len(from))] }

// collect gathers what the hostile tenant may write: the names of others, and what these could be made of.
func (w *tenancy) collect(c *config) {
	w.texts = []string{
		"x", "ns", "dns", "ns.dns", "pod", "svc", "prod.pod", "web.prod.svc", "_tcp", "_epmd._tcp", "_epmd", "epmd", "*", "", "a b", `\195`, "x\ny", "-", "10-66-0-1", "10-1-0-99",
		"web-9", "a1", "test", "erl", "internal", "in-addr", "arpa", strings.Repeat("l", 64), strings.Repeat("l", 300), "1.0.1.10", "hostmaster", "::1", "10.1.0.1",
	}
	w.texts = append(w.texts, honestGroups...)
	for _, p := range honestPods {
		w.texts = append(w.texts, p.name, p.service, p.namespace, membership.Dashed(netip.MustParseAddr(p.address)))
	}
	for host := range w.honestHosts {
		w.texts = append(w.texts, strings.TrimSuffix(host, "."))
		for _, z := range c.zones {
			if z.holds(host) {
				w.texts = append(w.texts, z.relative(host))
			}
		}
	}
	slices.Sort(w.texts)
	w.texts = slices.Compact(w.texts)
}

// text makes one of these, or one of two.
func (w *tenancy) text() string {
	text := w.pick(w.texts...)
	switch w.Next(8) {
	case 1:
		text += "." + w.pick(w.texts...)
	case 2:
		text = strings.ToUpper(text)
	case 3:
		text, _, _ = strings.Cut(text, ".")
	case 4:
		_, text, _ = strings.Cut(text, ".")
	}
	return text
}

func (w *tenancy) address() string {
	a := w.pick("10.66.0.1", "10.66.0.2", "fd66::1", "10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1", "fd00::", "fd00::", "fd00::", "10.1.1.1", "10.2.0.1",
		"127.0.0.1", "::1", "::ffff:10.1.0.1", "169.254.1.1", "fe80::1", "255.255.255.255", "0.0.0.0", "ff02::1", "x", "")
	return a
}

// namespace is one that no honest tenant has, unless both have groups in it.
func (w *tenancy) namespace() string {
	if w.isInside {
		return "prod"
	}
	namespace := w.pick("evil", "pod", "svc", "dns", "web", "10-1-0-1", "PROD", "a.prod", w.text())
	if slices.Contains(honestNamespaces, namespace) {
		namespace = "evil"
	}
	return namespace
}

func (w *tenancy) group() string {
	group := w.pick("prod", "ns", "shop", "db", "web", "10-1-0-1", w.text())
	if w.isInside && slices.ContainsFunc(honestGroups, func(honest string) bool { return strings.EqualFold(honest, group) }) {
		group = "evil"
	}
	return group
}

func (w *tenancy) meta() metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: w.namespace(), Name: w.pick("web-0", "db-0", w.text(), w.text(), w.text()), Labels: map[string]string{"app": w.group()}, CreationTimestamp: metav1.Unix(2000+int64(w.Next(3)), 0)}
	if w.isOlder {
		m.CreationTimestamp = metav1.Unix(int64(w.Next(3)), 0)
	}
	if w.lookup == kubeapi.Endpoints {
		m.Labels[discoveryv1.LabelServiceName] = w.pick("web", "db", "dns", w.text())
	}
	return m
}

// pod is a hostile one.
func (w *tenancy) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: w.meta()}
	p.Spec.Hostname, p.Spec.Subdomain = w.pick("", "web-0", "ns", "dns", w.text()), w.pick("web", "db", "dns", "", w.text())
	for range 1 + w.Next(2) {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: w.address()})
	}
	if !w.often(4) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if w.often(8) {
		p.DeletionTimestamp = new(metav1.Unix(3000, 0))
	}
	port := corev1.ContainerPort{Name: w.pick("dist", "epmd", w.text()), ContainerPort: 1, Protocol: corev1.Protocol(w.pick("TCP", "UDP", w.text()))}
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{port}}}
	return p
}

// slice is a hostile one, which somebody has written by hand.
func (w *tenancy) slice() *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: w.meta()}
	for range 1 + w.Next(3) {
		e := discoveryv1.Endpoint{Addresses: []string{w.address()}, Conditions: discoveryv1.EndpointConditions{Ready: new(!w.often(4)), Terminating: new(w.often(8))}}
		if w.often(4) {
			e.Addresses = append(e.Addresses, w.address())
		}
		if !w.often(3) {
			e.Hostname = new(w.pick("web-0", "ns", "dns", w.text()))
		}
		switch w.Next(3) {
		case 0:
			e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: w.pick("web-0", w.text())}
		case 1:
			e.TargetRef = &corev1.ObjectReference{Kind: "Node", UID: types.UID(w.text())}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	s.Ports = []discoveryv1.EndpointPort{{Name: new(w.pick("dist", "epmd", w.text())), Port: new(int32(1)), Protocol: new(corev1.Protocol(w.pick("TCP", "UDP", w.text())))}}
	return s
}

// populate makes the objects of all tenants.
func (w *tenancy) populate(t testing.TB, c *config) {
	t.Helper()
	shrinker := kubeapi.NewShrinker(&c.source)
	shrink := func(obj any) *kubeapi.Object {
		o, err := shrinker.Shrink(obj)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for i, p := range honestPods {
		meta := metav1.ObjectMeta{Namespace: p.namespace, Name: p.name, Labels: map[string]string{"app": p.group}, CreationTimestamp: metav1.Unix(1000+int64(i), 0)}
		ready := p.name != "web-1" && p.name != "db-0" || w.often(2)
		a := netip.MustParseAddr(p.address)
		w.honestAddresses[p.address] = true
		w.honestHosts[membership.Dashed(a)+"."+p.namespace+".pod."+tenantDomain] = true
		if p.hostname != "" {
			w.honestHosts[p.hostname+"."+p.service+"."+p.namespace+".svc."+tenantDomain] = true
		}
		if w.lookup == kubeapi.Pods {
			pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Hostname: p.hostname, Subdomain: p.service}, Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: p.address}}}}
			if ready {
				pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			}
			pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "dist", ContainerPort: 9100}}}}
			w.honest = append(w.honest, shrink(pod))
			continue
		}
		meta.Name += "-abcde"
		meta.Labels[discoveryv1.LabelServiceName] = p.service
		e := discoveryv1.Endpoint{Addresses: []string{p.address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: p.name}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
		if p.hostname != "" {
			e.Hostname = &p.hostname
		}
		w.honest = append(w.honest, shrink(&discoveryv1.EndpointSlice{ObjectMeta: meta, Endpoints: []discoveryv1.Endpoint{e}, Ports: []discoveryv1.EndpointPort{{Name: new("dist"), Port: new(int32(9100))}}}))
	}
	w.collect(c)
	known := make(map[string]bool)
	for _, o := range w.honest {
		known[o.Namespace+"/"+o.Name] = true
	}
	for range 1 + w.Next(6) {
		var o *kubeapi.Object
		if w.lookup == kubeapi.Pods {
			o = shrink(w.pod())
		} else {
			o = shrink(w.slice())
		}
		if known[o.Namespace+"/"+o.Name] {
			continue // Kubernetes has one of that name
		}
		known[o.Namespace+"/"+o.Name] = true
		w.hostile = append(w.hostile, o)
		w.namespaces[o.Namespace] = true
		for _, m := range o.Members {
			w.addresses[m.Address] = true
			w.pods[m.Address] = w.pods[m.Address] || m.IsPod
		}
	}
}

// served returns the plugin as it is with the hostile tenant, whose objects come in any order, and may go.
func (w *tenancy) served(c *config) *Longnames {
	table := newTable(c)
	honest, hostile := w.honest, w.hostile
	for len(honest) > 0 {
		from := &honest
		if len(hostile) > 0 && w.often(2) {
			from = &hostile
		}
		table.Apply([]kubeapi.Change{{New: (*from)[0]}})
		*from = (*from)[1:]
	}
	table.Synced()
	if w.often(2) {
		w.lose(table)
		apply(table, hostile...)
	} else {
		apply(table, hostile...)
		w.lose(table)
	}
	for _, o := range w.hostile {
		if w.often(6) {
			table.Apply(gone(o))
		}
	}
	return serving(table)
}

// lostPod is the index of the pod that may vanish.
const lostPod = 5

// lose has one honest pod vanish without notice, so that it is suspect, unless its address is another pod's.
func (w *tenancy) lose(table *table) {
	if !w.loses {
		return
	}
	lost := w.honest[lostPod].Members[0].Address
	for _, o := range w.hostile {
		for _, m := range o.Members {
			if m.Address == lost && (m.IsPod || !w.isGrouped) {
				return
			}
		}
	}
	table.Apply(gone(w.honest[lostPod]))
}

// isLost reports whether a name is one that another pod can have once the first one is gone.
func (w *tenancy) isLost(name string) bool {
	pointer, _ := dns.ReverseAddr(honestPods[lostPod].address)
	return w.loses && (name == pointer || !w.isGrouped && !w.honestHosts[name] && strings.HasPrefix(name, honestPods[lostPod].name+"."))
}

// isLostHost reports whether a name is the host part of the pod that may vanish, in mode dns.
func (w *tenancy) isLostHost(name string) bool {
	p := honestPods[lostPod]
	return w.loses && strings.HasPrefix(name, membership.Dashed(netip.MustParseAddr(p.address))+"."+p.namespace+".")
}

// isShared reports whether a name is one that all members have together.
func (w *tenancy) isShared(l *Longnames, name string) bool {
	relative := l.zones[zoneOf(l, name)].zone.relative(name)
	return !w.isGrouped && (relative == "" || relative[0] == '_')
}

// canShare reports whether a name is a host part that the hostile tenant may have, too: in its namespace, it can
// have the hostname and the Service of another pod.
func (w *tenancy) canShare(name string) bool {
	return w.mode == "hostname" && w.isInside && w.honestHosts[name]
}

// hasPodAt reports whether the hostile tenant has a pod at an address.
func (w *tenancy) hasPodAt(pointer string) bool {
	prefix, _ := reversePrefix(pointer)
	return w.pods[prefix.Addr()]
}

// isItsOwn reports whether a name may be the hostile tenant's.
func (w *tenancy) isItsOwn(l *Longnames, name string) bool {
	z := l.zones[zoneOf(l, name)].zone
	if name == z.server || name == z.parent {
		return false
	}
	if prefix, ok := reversePrefix(name); ok {
		return w.addresses[prefix.Addr()]
	}
	for _, domain := range []string{".pod." + tenantDomain, ".svc." + tenantDomain} {
		if host, ok := strings.CutSuffix(name, domain); ok && !w.isInside && w.namespaces[host[strings.LastIndex(host, ".")+1:]] {
			return true
		} else if ok && w.isInside && (!w.honestHosts[name] || w.isLostHost(name)) {
			return true
		}
	}
	labels := strings.Split(z.relative(name), ".")
	last := labels[len(labels)-1]
	switch {
	case !w.isGrouped && labels[0] != "" && labels[0][0] == '_':
		return true
	case !w.isGrouped && len(labels) == 1:
		// Nobody has the name of an address but the address.
		for _, with := range []string{".", ":"} {
			if a, err := netip.ParseAddr(strings.ReplaceAll(last, "-", with)); err == nil {
				return w.addresses[a]
			}
		}
		return last != ""
	case !w.isGrouped || len(labels) < 2:
		return false
	case w.isInside:
		return last == "prod" && !slices.Contains(honestGroups, labels[len(labels)-2])
	}
	return w.namespaces[last]
}

// compare wants each name of honest tenants to have what it would have without the hostile one.
func (w *tenancy) compare(t *testing.T, seen map[string]int) {
	t.Helper()
	w.populate(t, configOf(t, w.block))
	alone := tableOf(configOf(t, w.block), w.honest...)
	w.lose(alone)
	without, with := serving(alone), w.served(configOf(t, w.block))
	rules := &with.blocks[0].config.rules
	passing := 0
	if v := without.blocks[0].table.view(""); v != nil {
		for i := range v.roster.Load().Objects {
			for _, m := range v.roster.Load().Objects[i].Members {
				if rules.Include == membership.IncludeAll || m.Ready {
					passing++
				}
			}
		}
	}
	for zone := range with.zones {
		was, is := rrsets(axfr(t, without, zone)), rrsets(axfr(t, with, zone))
		if w.isThorough {
			is = checkTransfer(t, with, zone)
		}
		for key, want := range was {
			name, qtype, _ := strings.Cut(key, " ")
			got := is[key]
			seen["honest RRsets"]++
			switch {
			case w.isShared(with, name):
				seen["shared RRsets"]++
				for _, record := range want {
					if passing > 0 && !slices.Contains(got, record) {
						t.Errorf("%s: got %q, want %s among these", key, got, record)
					}
				}
				w.compareAdded(t, key, got, want)
				continue
			case qtype == "PTR" && w.isItsOwn(with, name) && (w.isOlder && w.hasPodAt(name) || w.isInside && w.mayBeUnready(name)):
				continue // whose pod is older has it, and within a namespace who is alive
			case w.isLost(name):
				continue
			case w.canShare(name):
				for _, record := range want {
					if !slices.Contains(got, record) && !slices.ContainsFunc(want, w.mayBeUnready) {
						t.Errorf("%s: got %q, want %s among these", key, got, record)
					}
				}
				continue
			}
			equal(t, key, got, want)
		}
		for key, got := range is {
			if name, _, _ := strings.Cut(key, " "); was[key] == nil && !w.isItsOwn(with, name) && !w.canShare(name) {
				t.Errorf("%s: got %q, which it has nowhere else", key, got)
			}
			if was[key] == nil {
				seen["hostile RRsets"]++
			}
		}
	}
	w.probe(t, without, with, seen)
}

// mayBeUnready reports whether a record's text, or its owner's name, has the address of a pod that may not be ready.
func (*tenancy) mayBeUnready(text string) bool {
	return slices.ContainsFunc([]string{"10.1.0.2", "10.1.1.1", "2.0.1.10.in-addr.arpa", "1.1.1.10.in-addr.arpa"}, func(of string) bool {
		return strings.TrimSuffix(text[strings.LastIndex(text, " ")+1:], ".") == of
	})
}

// compareAdded wants what a cluster has besides its honest members to be about others.
func (w *tenancy) compareAdded(t *testing.T, key string, got, want []string) {
	t.Helper()
	for _, record := range got {
		if slices.Contains(want, record) || strings.HasSuffix(key, " A") || strings.HasSuffix(key, " AAAA") {
			continue // anybody may write down any address
		}
		text := strings.Trim(record[strings.LastIndex(record, " ")+1:], `"`)
		_, host, _ := strings.Cut(text, "@")
		if host == "" {
			host = strings.TrimSuffix(text, ".")
		}
		// Where basenames differ, two nodes can be at one address.
		if w.honestHosts[strings.ToLower(host)+"."] || w.honestAddresses[host] && !strings.Contains(w.block, "basename label") && !strings.HasPrefix(key, "_") && !w.mayBeUnready(host) {
			t.Errorf("%s: got %s, want nothing more of %s than %q", key, record, host, want)
		}
	}
}

// probe asks for all names that the hostile tenant may have aimed at, also those that a transfer does not have.
func (w *tenancy) probe(t *testing.T, without, with *Longnames, seen map[string]int) {
	t.Helper()
	names := possibleNames(without)
	for zone, of := range with.zones {
		for _, text := range w.texts {
			for _, above := range []string{"", w.pick("prod", "shop.prod", "team"), w.pick("pod", "svc"), w.pick("prod.pod", "prod.svc", "web.prod.svc")} {
				name := strings.ToLower(of.zone.absolute(strings.Trim(text+"."+above, ".")))
				if _, ok := dns.IsDomainName(name); ok && zoneOf(with, name) == zone {
					names[name] = true
				}
			}
		}
	}
	some := slices.Sorted(maps.Keys(names))
	if !w.isThorough {
		r := rand.New(rand.NewPCG(uint64(len(w.hostile)), uint64(len(w.block))))
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		some = some[:min(len(some), 50)]
	}
	for zone, of := range with.zones { // whose names are the dearest
		some = append(some, zone, of.zone.server, of.zone.parent)
	}
	for _, name := range slices.AppendSeq(some, maps.Keys(w.honestHosts)) {
		if zoneOf(with, name) == "" || w.isShared(with, name) || w.isItsOwn(with, name) || w.isLost(name) || w.canShare(name) {
			continue
		}
		for _, qtype := range []string{"A", "AAAA", "SRV", "PTR"} {
			seen["probes"]++
			from := client{tcp: true, address: w.pick("", "10.1.0.2", "10.1.1.1")} // two may not be listed, and find themselves
			a, b := ask(t, without, name, qtype, from), ask(t, with, name, qtype, from)
			was, is := texts(a.Answer), texts(b.Answer)
			slices.Sort(was)
			slices.Sort(is)
			equal(t, name+" "+qtype, is, was)
			w.compareGlue(t, name+" "+qtype, without, b)
			if a.Rcode == dns.RcodeSuccess && b.Rcode != dns.RcodeSuccess {
				t.Errorf("%s %s: got %s, want NOERROR", name, qtype, dns.RcodeToString[b.Rcode])
			}
		}
		if !w.isInside || !w.honestHosts[name] { // in its namespace, it can have a host part, too
			w.compareCluster(t, name, without, with)
		}
	}
}

// compareGlue wants the addresses of hosts that come along to be those that they have.
func (w *tenancy) compareGlue(t *testing.T, key string, without *Longnames, m *dns.Msg) {
	t.Helper()
	for _, rr := range m.Extra {
		host := strings.ToLower(rr.Header().Name)
		asked, _, _ := strings.Cut(key, " ")
		if z := without.zones[zoneOf(without, asked)].zone; host == z.server || host == z.parent {
			t.Errorf("%s: got glue %v, which is the name server's name", key, rr)
		}
		if !w.honestHosts[host] || w.canShare(host) {
			continue
		}
		if want := data(ask(t, without, host, dns.TypeToString[rr.Header().Rrtype], client{tcp: true}).Answer); !slices.Contains(want, data([]dns.RR{rr})[0]) {
			t.Errorf("%s: got glue %v, want %q", key, rr, want)
		}
	}
}

// compareCluster wants the metadata to tell of the same cluster, for others may decide by that.
func (*tenancy) compareCluster(t *testing.T, name string, without, with *Longnames) {
	t.Helper()
	of := func(l *Longnames) string {
		by := l.zones[zoneOf(l, name)]
		if c, _ := by.resolver.clusterOf(by.zone, &question{name: name, qname: name}); c != nil {
			return c.name
		}
		return ""
	}
	if got, want := of(with), of(without); got != want {
		t.Errorf("%s: got cluster %q, want %q", name, got, want)
	}
}

func TestTenantsKeepTheirNames(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		data := make(bits, 300)
		for i := range data {
			data[i] = byte(r.IntN(256))
		}
		w := newTenancy(data)
		w.isThorough = seed%16 == 0
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { w.compare(t, seen) }) {
			t.Logf("seed %d: inside %t, older %t\n%s\n%s", seed, w.isInside, w.isOlder, w.block, describeObjects(w.hostile))
		}
	}
	t.Logf("saw %v", seen)
	for what, least := range map[string]int{"honest RRsets": 5000, "shared RRsets": 500, "hostile RRsets": 800, "probes": 20_000} {
		if seen[what] < least && !t.Failed() {
			t.Errorf("%s: got %d, want at least %d", what, seen[what], least)
		}
	}
}

func describeObjects(objects []*kubeapi.Object) string {
	var text strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&text, "%q/%q created %d labels %v service %q ports %v invalid %q: %+v\n", o.Namespace, o.Name, o.Created, o.Labels, o.Service, o.Ports, o.Invalid, o.Members)
	}
	return text.String()
}

// FuzzTenants tries whatever tenants may write.
func FuzzTenants(f *testing.F) {
	for zones := range tenantZones {
		f.Add([]byte{byte(zones), byte(zones / 2), 0, byte(zones), 0, 0, 0, 0, 1, 1, 1, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newTenancy(data[:min(len(data), 500)])
		w.compare(t, make(map[string]int))
		if t.Failed() {
			t.Logf("inside %t, older %t\n%s\n%s", w.isInside, w.isOlder, w.block, describeObjects(w.hostile))
		}
	})
}
