package test

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// These are the rules of the README once more: as plainly as possible, without regard to cost,
// and without a line of the plugin. A zone is written down record by record; then a name exists
// if it is there, or if one below it is.

// ruleBlock is a longnames block.
type ruleBlock struct {
	zones, namespaces     []string
	selector              string
	selects               func(labels map[string]string) bool // nil if there is no selector
	lookupPods            bool
	include, groupBy      string
	basename              string
	basenameLabel         string
	mode, service, domain string
	podNames              bool
	family, portName      string
	port                  uint16
	ttl                   uint32
	passes                []string // zones of fallthrough; the root for all
	served                []string // zones of all blocks, whose name servers have names
}

func (b *ruleBlock) letsThrough(name string) bool {
	return slices.ContainsFunc(b.passes, func(zone string) bool { return isIn(name, zone) })
}

// isIn reports whether a name is a zone's, or lies below it.
func isIn(name, zone string) bool {
	return zone == "." || name == zone || strings.HasSuffix(name, "."+zone)
}

// rulePort is a port that a member declares.
type rulePort struct {
	name, protocol string // lower case
	number         uint16
}

// sighting is what one object says of one address.
type sighting struct {
	cluster           string // relative to the zone; empty if the zone is the cluster
	namespace, id     string
	pod, hostname     string
	service, basename string
	created           int64
	address           netip.Addr
	passes, ending    bool
	ports             []rulePort
}

// ruleMember is a candidate with its longname.
type ruleMember struct {
	block          *ruleBlock
	cluster        string
	longname, host string
	names          map[string]int // dashed address 2, hostnames 1, pod name 0
	namespace      string
	isPod          bool
	created        int64
	address        netip.Addr
	listed, ending bool
	ports          []rulePort
}

// wants reports whether an object is one that the block looks up, and gives its cluster.
func (b *ruleBlock) wants(w *world, namespace string, labels map[string]string) (cluster string, ok bool) {
	isWatched := len(b.namespaces) == 0 || b.namespaces[0] == "*" || slices.Contains(b.namespaces, namespace)
	if !isWatched || b.selects != nil && !b.selects(labels) {
		return "", false
	}
	if b.groupBy == "" {
		return "", true
	}
	group := labels[b.groupBy]
	cluster = strings.ToLower(group) + "." + namespace
	return cluster, groupLabel.MatchString(group) && !b.isOthers(w, cluster)
}

// isOthers reports whether a cluster has a name that is the name server's, or lies where pods and Services have
// theirs, or is called as a host part, in the eyes of anyone who answers together with the block.
func (b *ruleBlock) isOthers(w *world, cluster string) bool {
	group, _, _ := strings.Cut(cluster, ".")
	return cluster == "ns.dns" || slices.ContainsFunc(b.zones, func(zone string) bool {
		return slices.ContainsFunc(w.team(zone), func(o *ruleBlock) bool {
			domain := strings.ToLower(o.domain)
			if o.mode == "ip" && domain == "" {
				domain = "cluster.local"
			}
			for _, kind := range []string{"pod.", "svc."} {
				if of := kind + domain + "."; isIn(cluster+"."+zone, of) && !isIn(zone, of) {
					return true
				}
			}
			return o.mode == "dns" && zone == "pod."+domain+"." && spellsAddress(group)
		})
	})
}

// spellsAddress reports whether a text in lower case is a dashed address.
func spellsAddress(text string) bool {
	for _, with := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(text, "-", with)); err == nil && dashes(a) == text {
			return true
		}
	}
	return false
}

var (
	hostLabel  = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?$`)
	nodeName   = regexp.MustCompile(`^[0-9a-z-][0-9a-z_-]{0,62}$`)
	basename   = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)
	groupLabel = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?$`)
)

func isHostLabel(text string) bool { return hostLabel.MatchString(text) }

// addressOf reads an address of the block's family.
func (b *ruleBlock) addressOf(text string) (a netip.Addr, ok bool) {
	a, err := netip.ParseAddr(text)
	isOne := err == nil && a.Zone() == "" && !a.Is4In6() && (a.IsGlobalUnicast() || a.IsLoopback())
	return a, isOne && (b.family == "" || a.Is4() == (b.family == "ipv4"))
}

// passesInclude reports whether include lets a candidate in.
func (b *ruleBlock) passesInclude(ready, serving, ending bool) bool {
	include := b.include
	if include == "" {
		include = map[bool]string{true: "all", false: "ready"}[b.lookupPods]
	}
	switch include {
	case "ready":
		return ready && !ending
	case "serving":
		return serving
	}
	return true
}

// sightings gives all clusters, also those without members, and what objects say.
func (b *ruleBlock) sightings(w *world) (clusters map[string]bool, seen []sighting) {
	clusters = make(map[string]bool)
	if b.groupBy == "" {
		clusters[""] = true
	}
	if b.lookupPods {
		for _, p := range inOrder(w.pods) {
			if cluster, ok := b.wants(w, p.Namespace, p.Labels); ok {
				clusters[cluster] = true
				seen = append(seen, b.ofPod(cluster, p)...)
			}
		}
		return clusters, seen
	}
	for _, s := range inOrder(w.slices) {
		if cluster, ok := b.wants(w, s.Namespace, s.Labels); ok {
			clusters[cluster] = true
			seen = append(seen, b.ofSlice(cluster, s)...)
		}
	}
	return clusters, seen
}

// inOrder gives objects by namespace and name.
func inOrder[T any](objects map[string]T) []T {
	var values []T
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		values = append(values, objects[key])
	}
	return values
}

func (b *ruleBlock) ofPod(cluster string, p *corev1.Pod) []sighting {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil
	}
	var texts []string
	for _, ip := range p.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 {
		texts = []string{p.Status.PodIP}
	}
	s := sighting{cluster: cluster, namespace: p.Namespace, id: "pod " + p.Name, pod: p.Name, hostname: p.Spec.Hostname, service: p.Spec.Subdomain, basename: b.basenameOf(p.Labels), created: p.CreationTimestamp.Unix()}
	ready := false
	for _, c := range p.Status.Conditions {
		ready = ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	s.ending = p.DeletionTimestamp != nil
	s.passes = b.passesInclude(ready, ready, s.ending)
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, port := range c.Ports {
			s.declare(port.Name, string(port.Protocol), port.ContainerPort)
		}
	}
	for _, text := range texts {
		if address, ok := b.addressOf(text); ok {
			s.address = address
			return []sighting{s}
		}
	}
	return nil
}

func (b *ruleBlock) ofSlice(cluster string, e *discoveryv1.EndpointSlice) (seen []sighting) {
	if e.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	is := func(condition *bool, unset bool) bool {
		return condition == nil && unset || condition != nil && *condition
	}
	for _, endpoint := range e.Endpoints {
		s := sighting{cluster: cluster, namespace: e.Namespace, service: e.Labels[discoveryv1.LabelServiceName], basename: b.basenameOf(e.Labels), created: e.CreationTimestamp.Unix()}
		if endpoint.Hostname != nil {
			s.hostname = *endpoint.Hostname
		}
		switch ref := endpoint.TargetRef; {
		case ref != nil && ref.Kind == "Pod":
			s.pod, s.id = ref.Name, "pod "+ref.Name
		case ref != nil:
			s.id = "object " + string(ref.UID)
		case s.hostname != "":
			s.id = "host " + s.hostname + " of " + s.service
		}
		s.ending = is(endpoint.Conditions.Terminating, false)
		s.passes = b.passesInclude(is(endpoint.Conditions.Ready, true), is(endpoint.Conditions.Serving, is(endpoint.Conditions.Ready, true)), s.ending)
		for _, port := range e.Ports {
			if port.Name != nil && port.Port != nil {
				protocol := ""
				if port.Protocol != nil {
					protocol = string(*port.Protocol)
				}
				s.declare(*port.Name, protocol, *port.Port)
			}
		}
		for _, text := range endpoint.Addresses {
			if address, ok := b.addressOf(text); ok {
				s.address = address
				seen = append(seen, s)
				break // the first
			}
		}
	}
	return seen
}

func (s *sighting) declare(name, protocol string, number int32) {
	if name != "" {
		s.ports = append(s.ports, rulePort{strings.ToLower(name), strings.ToLower(cmp.Or(protocol, "TCP")), uint16(number)})
	}
}

// ruleTeam are the blocks that answer together, in the order of the Corefile.
type ruleTeam []*ruleBlock

// team gives the blocks that have a zone.
func (w *world) team(zone string) (t ruleTeam) {
	for _, b := range w.blocks {
		if slices.Contains(b.zones, zone) {
			t = append(t, b)
		}
	}
	return t
}

// listsIn reports whether the same blocks have a zone with names of clusters. Without one, equal longnames are nobody's
// concern.
func (t ruleTeam) listsIn(w *world) bool {
	return slices.ContainsFunc(t[0].zones, func(zone string) bool { return !strings.HasSuffix(zone, ".arpa.") && slices.Equal(w.team(zone), t) })
}

// members gives the members of all blocks, and all clusters. A longname that several blocks have is one block's: of one
// that lists it, and among such the first's; or else of one where it does not end.
func (t ruleTeam) members(w *world) (clusters map[string]bool, members []*ruleMember) {
	clusters = make(map[string]bool)
	for _, b := range t {
		own, all := b.members(w)
		maps.Copy(clusters, own)
		members = append(members, all...)
	}
	type name struct{ cluster, longname string }
	type claim struct {
		name
		block *ruleBlock
	}
	standing := make(map[claim]int) // the least is the best
	for _, m := range members {
		of := claim{name{m.cluster, m.longname}, m.block}
		now := lastUnless(m.listed) + lastUnless(m.listed || !m.ending)
		if best, known := standing[of]; !known || now < best {
			standing[of] = now
		}
	}
	has := make(map[name]*ruleBlock)
	for _, m := range members { // in the order of the blocks
		of := name{m.cluster, m.longname}
		if has[of] == nil || standing[claim{of, m.block}] < standing[claim{of, has[of]}] {
			has[of] = m.block
		}
	}
	return clusters, slices.DeleteFunc(members, func(m *ruleMember) bool { return has[name{m.cluster, m.longname}] != m.block })
}

// members gives those that have a longname, and all clusters.
func (b *ruleBlock) members(w *world) (clusters map[string]bool, members []*ruleMember) {
	clusters, all := b.sightings(w)
	for _, cluster := range slices.Sorted(maps.Keys(clusters)) {
		byWho := make(map[string][]sighting)
		var order []string
		hasIPv4 := make(map[string]bool)
		for _, s := range all {
			if who := s.namespace + " " + s.id; s.cluster == cluster && s.id != "" && s.address.Is4() {
				hasIPv4[who] = true
			}
		}
		for _, s := range all {
			who := s.namespace + " " + s.id
			if s.cluster != cluster || s.address.Is6() && hasIPv4[who] {
				continue
			}
			who += " " + s.address.String()
			if byWho[who] == nil {
				order = append(order, who)
			}
			byWho[who] = append(byWho[who], s)
		}
		var named []*ruleMember
		somebody := false
		for _, who := range order {
			if m := b.member(byWho[who]); m != nil {
				named = append(named, m)
				somebody = somebody || m.listed
			}
		}
		for _, m := range named {
			m.listed = m.listed || !somebody && !m.ending
		}
		members = append(members, named...)
	}
	return clusters, members
}

// member makes one of all that is said of it; nil if no longname can be made.
func (b *ruleBlock) member(said []sighting) *ruleMember {
	m := &ruleMember{block: b, cluster: said[0].cluster, namespace: said[0].namespace, isPod: said[0].pod != "", address: said[0].address}
	m.names = map[string]int{dashes(m.address): 2}
	for _, s := range said {
		if m.longname == "" {
			m.longname, m.host = b.longname(&s)
			m.created = max(0, s.created) // of the object that gives the longname
		}
	}
	for _, s := range said {
		if s.hostname == "" && b.podNames {
			s.hostname = s.pod
		}
		if m.longname == "" {
			m.longname, m.host = b.longname(&s)
			m.created = max(0, s.created)
		}
	}
	for _, s := range said {
		for claim, name := range []string{s.pod, s.hostname} {
			if name = strings.ToLower(name); nodeName.MatchString(name) && !spellsAddress(name) {
				m.names[name] = max(m.names[name], claim)
			}
		}
		m.listed = m.listed || s.passes
		m.ending = m.ending || s.ending
		m.ports = append(m.ports, s.ports...)
	}
	if m.longname == "" {
		return nil
	}
	return m
}

func dashes(a netip.Addr) string {
	text := strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
	if strings.HasSuffix(text, "-") {
		text += "0"
	}
	return text
}

func (b *ruleBlock) basenameOf(labels map[string]string) string {
	if b.basename != "" {
		return b.basename
	}
	return labels[cmp.Or(b.basenameLabel, b.groupBy)]
}

func (b *ruleBlock) longname(s *sighting) (longname, host string) {
	service := cmp.Or(b.service, s.service)
	switch b.mode {
	case "ip":
		host = s.address.String()
	case "dns":
		host = dashes(s.address) + "." + s.namespace + ".pod." + b.domain
	case "hostname":
		if !isHostLabel(s.hostname) || !isHostLabel(service) {
			return "", ""
		}
		host = s.hostname + "." + service + "." + s.namespace + ".svc." + b.domain
	}
	longname = s.basename + "@" + host
	isServer := slices.ContainsFunc(b.served, func(zone string) bool {
		return b.mode != "ip" && isServerName(strings.ToLower(host)+".", zone)
	})
	if !basename.MatchString(s.basename) || len(longname) > 255 || isServer {
		return "", ""
	}
	return longname, host
}

func isServerName(name, zone string) bool { return name == "dns."+zone || name == "ns.dns."+zone }

// rank lists what decides between those of one namespace who claim a name, the best first; what is nobody's name,
// as an address, all claim alike.
func rank(m *ruleMember, name string) []int {
	alive := 2
	switch {
	case m.listed && !m.ending:
		alive = 0
	case m.listed:
		alive = 1
	}
	return []int{alive, -m.names[name], lastUnless(m.isPod)}
}

// lastUnless is 0 for what comes first.
func lastUnless(is bool) int { return map[bool]int{true: 0, false: 1}[is] }

// holders gives who has a name of those who claim it: one, and who of its namespace claims it as well. Each cluster
// tells of its own best.
func holders(claimants []*ruleMember, name string) []*ruleMember {
	var best []*ruleMember
	byCluster := make(map[string][]*ruleMember)
	for _, m := range claimants {
		byCluster[m.cluster] = append(byCluster[m.cluster], m)
	}
	for _, all := range byCluster {
		best = append(best, asGoodAs(holder(all, name), all, name)...)
	}
	return asGoodAs(holder(best, name), best, name)
}

func asGoodAs(first *ruleMember, claimants []*ruleMember, name string) (found []*ruleMember) {
	for _, m := range claimants {
		if m.namespace == first.namespace && slices.Equal(rank(m, name), rank(first, name)) {
			found = append(found, m)
		}
	}
	return found
}

func holder(claimants []*ruleMember, name string) *ruleMember {
	namespace := slices.MinFunc(claimants, func(m, n *ruleMember) int {
		return cmp.Or(cmp.Compare(lastUnless(!m.ending), lastUnless(!n.ending)), cmp.Compare(lastUnless(m.isPod), lastUnless(n.isPod)),
			cmp.Compare(m.created, n.created), strings.Compare(m.namespace, n.namespace))
	}).namespace
	return slices.MinFunc(claimants, func(m, n *ruleMember) int {
		return cmp.Or(cmp.Compare(lastUnless(m.namespace == namespace), lastUnless(n.namespace == namespace)), slices.Compare(rank(m, name), rank(n, name)),
			cmp.Compare(m.created, n.created), strings.Compare(m.host+".", n.host+"."))
	})
}

// ruleZone is what a block has in a zone: by name in lower case, by type, records without
// owner. A name without records is there, too, if it exists.
type ruleZone map[string]map[string]map[string]bool

func (z ruleZone) add(owner, rrtype, format string, args ...any) {
	z.exists(owner)
	if z[owner][rrtype] == nil {
		z[owner][rrtype] = make(map[string]bool)
	}
	z[owner][rrtype][fmt.Sprintf(format, args...)] = true
}

func (z ruleZone) exists(owner string) {
	if z[owner] == nil {
		z[owner] = make(map[string]map[string]bool)
	}
}

func (z ruleZone) addAddress(owner string, a netip.Addr) { z.add(owner, addressRecordType(a), "%s", a) }

func addressRecordType(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

// oneNode gives those who have the longname of a member: one, and who else of its namespace has it.
func oneNode(of *ruleMember, all []*ruleMember) (nodes []*ruleMember) {
	for _, m := range all {
		if m.cluster == of.cluster && m.longname == of.longname {
			nodes = append(nodes, m)
		}
	}
	namespace := holder(nodes, "").namespace
	return slices.DeleteFunc(nodes, func(m *ruleMember) bool { return m.namespace != namespace })
}

// numbers are those of the ports that a member, or another of its longname, declares.
func numbers(of *ruleMember, all []*ruleMember, name, protocol string) (numbers []uint16) {
	for _, m := range oneNode(of, all) {
		for _, p := range m.ports {
			if p.name == name && p.protocol == protocol {
				numbers = append(numbers, p.number)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

// mainPort is the one of SRV records, or of those of _epmd.
func mainPort(m *ruleMember, all []*ruleMember, epmd bool) uint16 {
	if declared := numbers(m, all, "epmd", "tcp"); epmd && len(declared) > 0 {
		return declared[0]
	}
	if m.block.portName == "" {
		return m.block.port
	}
	return append(numbers(m, all, strings.ToLower(m.block.portName), "tcp"), 4369)[0]
}

// zone writes down what the blocks of a zone have in it or in another one of theirs, for a client.
func (t ruleTeam) zone(w *world, zone string, asker netip.Addr) ruleZone {
	z := make(ruleZone)
	clusters, members := t.members(w)
	z.add(zone, "NS", "ns.dns.%s", zone)
	z.add("ns.dns."+zone, "A", "%s", w.address)
	if strings.HasSuffix(zone, ".arpa.") {
		if !t.listsIn(w) {
			members = nil
			for _, b := range t {
				_, all := b.members(w)
				members = append(members, all...)
			}
		}
		t.pointers(z, zone, members)
		for _, b := range t {
			_, all := b.members(w)
			for _, m := range all { // a name above an address of a block's exists, even if the other one has its longname
				if _, above, _ := strings.Cut(reverseName(m.address), "."); b.groupBy != "" && isIn(above, zone) {
					z.exists(above)
				}
			}
		}
	} else {
		for cluster := range clusters {
			t.cluster(z, strings.TrimPrefix(cluster+"."+zone, "."), cluster, members, asker)
		}
		hosts := t.hosts(z, zone, members)
		for cluster := range clusters {
			t.nodes(z, zone, strings.TrimPrefix(cluster+"."+zone, "."), cluster, members, hosts)
		}
	}
	for _, name := range slices.Collect(maps.Keys(z)) {
		for above := name; above != zone; {
			_, above, _ = strings.Cut(above, ".")
			z.exists(above)
		}
	}
	return z
}

// cluster writes down what lies at its name and below it.
func (t ruleTeam) cluster(z ruleZone, name, cluster string, members []*ruleMember, asker netip.Addr) {
	z.exists(name)
	z.exists("_epmd._tcp." + name)
	for _, m := range members {
		if m.cluster != cluster {
			continue
		}
		if !m.listed && m.address != asker {
			continue
		}
		t.node(z, name, m, members)
		z.add("_epmd._tcp."+name, "SRV", "0 0 %d %s.", mainPort(m, members, true), m.host)
		for _, other := range oneNode(m, members) {
			for _, p := range other.ports {
				if p.name != "epmd" || p.protocol != "tcp" {
					z.add("_"+p.name+"._"+p.protocol+"."+name, "SRV", "0 0 %d %s.", p.number, m.host)
				}
			}
		}
	}
}

// nodes writes down single nodes of a cluster. A host part is its owner's, who has records of other types if
// that is its name in its cluster, too.
func (t ruleTeam) nodes(z ruleZone, zone, name, cluster string, members []*ruleMember, hosts map[string][]*ruleMember) {
	single := make(map[string][]*ruleMember)
	for _, m := range members {
		if m.cluster != cluster {
			continue
		}
		for below := range m.names {
			if !isServerName(below+"."+name, zone) {
				single[below] = append(single[below], m)
			}
		}
	}
	for below, claimants := range single {
		at := below + "." + name
		if hosts[at] == nil {
			for _, m := range holders(claimants, below) {
				t.node(z, at, m, members)
			}
			continue
		}
		var own []*ruleMember
		for _, m := range hosts[at] {
			if m.cluster == cluster {
				own = append(own, m)
			}
		}
		if !slices.ContainsFunc(own, func(m *ruleMember) bool { _, is := m.names[below]; return is }) {
			continue
		}
		for _, m := range holders(own, "") {
			z.add(at, "SRV", "0 0 %d %s.", mainPort(m, members, false), m.host)
			z.add(at, "TXT", "%q", m.longname)
		}
	}
}

func (ruleTeam) node(z ruleZone, owner string, m *ruleMember, all []*ruleMember) {
	z.add(owner, "SRV", "0 0 %d %s.", mainPort(m, all, false), m.host)
	z.add(owner, "TXT", "%q", m.longname)
	z.addAddress(owner, m.address)
}

// hosts writes down host parts that lie in the zone, and gives who claims them. What a cluster has comes first.
func (ruleTeam) hosts(z ruleZone, zone string, members []*ruleMember) map[string][]*ruleMember {
	byHost := make(map[string][]*ruleMember)
	for _, m := range members {
		if host := strings.ToLower(m.host) + "."; m.block.mode != "ip" && isIn(host, zone) && z[host] == nil {
			byHost[host] = append(byHost[host], m)
		}
	}
	for host, claimants := range byHost {
		of := make(map[string]int)
		for _, m := range holders(claimants, "") {
			z.addAddress(host, m.address)
			of[m.cluster]++
		}
		for _, n := range of {
			if n > 8 && len(of) > 1 {
				z.add(host, unsure, "") // each cluster has 8, in an order of its own
			}
		}
	}
	return byHost
}

// pointers writes down one record for each address in a reverse zone.
func (ruleTeam) pointers(z ruleZone, zone string, members []*ruleMember) {
	byAddress := make(map[string][]*ruleMember)
	for _, m := range members {
		if name := reverseName(m.address); isIn(name, zone) {
			byAddress[name] = append(byAddress[name], m)
		}
	}
	for name, claimants := range byAddress {
		z.add(name, "PTR", "%s.", holder(holders(claimants, ""), "").host)
	}
}

func reverseName(a netip.Addr) string {
	var labels []string
	for _, octet := range a.AsSlice() {
		if a.Is4() {
			labels = append(labels, fmt.Sprint(octet))
		} else {
			labels = append(labels, fmt.Sprintf("%x", octet>>4), fmt.Sprintf("%x", octet&15))
		}
	}
	slices.Reverse(labels)
	if a.Is4() {
		return strings.Join(labels, ".") + ".in-addr.arpa."
	}
	return strings.Join(labels, ".") + ".ip6.arpa."
}

// rulebook is what all blocks have in all zones, for one client.
type rulebook struct {
	w     *world
	zones []string            // the longest first
	teams map[string]ruleTeam // by zone
	of    map[string]ruleZone // by zone
	asker netip.Addr
}

func newRulebook(w *world, asker string) *rulebook {
	r := &rulebook{w: w, teams: make(map[string]ruleTeam), of: make(map[string]ruleZone), asker: netip.MustParseAddr(asker)}
	for _, b := range w.blocks {
		r.zones = append(r.zones, b.zones...)
	}
	slices.SortFunc(r.zones, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(b, "."), strings.Count(a, ".")), strings.Compare(a, b))
	})
	r.zones = slices.Compact(r.zones)
	for _, zone := range r.zones {
		r.teams[zone] = w.team(zone)
		r.of[zone] = r.teams[zone].zone(w, zone, r.asker)
	}
	return r
}

// ruleAnswer is what a question gets: records if there are any, or else the zone whose SOA record
// says that there are none.
type ruleAnswer struct {
	by      ruleTeam
	records map[string]bool
	exists  bool
	passed  bool // to the next plugin
	unsure  bool // there are more records than are given
	zone    string
	soaTTL  uint32
}

// unsure is a type of which a name has records if it has more of others than are given.
const unsure = "unsure"

// answer gives it to a question for a name in lower case.
func (r *rulebook) answer(name, rrtype string) (a ruleAnswer) {
	for _, zone := range r.zones {
		if !isIn(name, zone) {
			continue
		}
		team := r.teams[zone]
		if a.zone == "" {
			a.zone, a.soaTTL = zone, team[0].ttl
		}
		if types, exists := r.of[zone][name]; exists {
			a.by, a.exists, a.records, a.unsure = team, true, types[rrtype], len(types[unsure]) > 0
			if rrtype == "ANY" {
				a.records = map[string]bool{`"RFC8482" ""`: true}
			}
			return a
		}
		if !team[0].letsThrough(name) {
			a.exists = r.isAboveAZone(name)
			return a
		}
	}
	a.passed = r.w.next
	a.exists = !a.passed && r.isAboveAZone(name)
	return a
}

// isAboveAZone reports whether a zone lies below a name, which therefore exists.
func (r *rulebook) isAboveAZone(name string) bool {
	return slices.ContainsFunc(r.zones, func(zone string) bool { return zone != name && isIn(zone, name) })
}

// glue gives what goes with SRV records: the addresses of targets in zones of the same blocks, as those
// who answer have them, with TTL.
func (r *rulebook) glue(a *ruleAnswer) map[string]bool {
	glue := make(map[string]bool)
	clusters, blocks := make(map[string]map[string]bool), make(map[string]ruleTeam)
	_, members := a.by.members(r.w)
	for _, m := range members {
		host := strings.ToLower(m.host) + "."
		if clusters[host] == nil {
			clusters[host] = make(map[string]bool)
		}
		clusters[host][m.cluster] = true
		blocks[host] = append(blocks[host], m.block)
	}
	in := make(map[string]ruleZone)
	for record := range a.records {
		target := record[strings.LastIndex(record, " ")+1:]
		host := strings.ToLower(target)
		if len(clusters[host]) > 1 {
			continue // left out
		}
		at := slices.IndexFunc(r.zones, func(zone string) bool { return isIn(host, zone) && slices.Equal(r.teams[zone], a.by) })
		if at < 0 {
			continue
		}
		zone := r.zones[at]
		if in[zone] == nil {
			in[zone] = a.by.zone(r.w, zone, r.asker)
		}
		z := in[zone]
		if len(z[host]["A"])+len(z[host]["AAAA"]) > 8 {
			continue // too many nodes share the name
		}
		for _, rrtype := range []string{"A", "AAAA"} {
			for address := range z[host][rrtype] {
				glue[host+" "+rrtype+" "+address] = true
			}
		}
	}
	return glue
}

// transfer gives all records of a zone with their owners, but for SOA records.
func (r *rulebook) transfer(zone string) map[string]bool {
	all := make(map[string]bool)
	isInner := func(name string) bool {
		return slices.ContainsFunc(r.zones, func(inner string) bool { return inner != zone && isIn(inner, zone) && isIn(name, inner) })
	}
	for _, z := range r.of {
		for name := range z {
			if !isIn(name, zone) || isInner(name) {
				continue
			}
			if r.answer(name, "A").unsure {
				continue
			}
			for _, rrtype := range []string{"NS", "SRV", "TXT", "A", "AAAA", "PTR"} {
				for record := range r.answer(name, rrtype).records {
					all[name+" "+rrtype+" "+record] = true
				}
			}
		}
	}
	for _, inner := range r.zones {
		_, above, _ := strings.Cut(inner, ".")
		if inner != zone && isIn(inner, zone) && !isInner(above) {
			all[inner+" NS ns.dns."+inner] = true
			all["ns.dns."+inner+" A "+r.w.address] = true
		}
	}
	return all
}
