package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// world is a random Corefile of one server block, and random objects in a manifest file.
type world struct {
	*rand.Rand

	address string // of the server
	blocks  []*ruleBlock
	next    bool // a plugin comes after longnames
	written int
	pods    map[string]*corev1.Pod // by namespace and name
	slices  map[string]*discoveryv1.EndpointSlice
}

// Some values are invalid, and names are few, so that they often clash.
var (
	someZones = []string{"erl.test.", "a.erl.test.", "c.b.a.erl.test.", "svc.erl.test.", "pod.erl.test.", "prod.pod.erl.test.", "prod.svc.erl.test.", "other.test."}
	someNets  = []string{"10.in-addr.arpa.", "in-addr.arpa.", "1.10.in-addr.arpa.", "127.in-addr.arpa.", "ip6.arpa.", "d.f.ip6.arpa."}

	someNamespaces = []string{"prod", "staging"}
	oddNamespaces  = []string{"pod", "svc", "dns"} // of which clusters can have names that are others'
	someServices   = []string{"web", "db"}
	oddServices    = []string{"dns", "prod"}
	somePods       = []string{"web-0", "web-1", "web-2", "db-0", "db-1", "Db-2"}
	someHostnames  = []string{"h0", "H1", "h2", "bad_host"}
	someApps       = []string{"web", "web", "Web", "db", "db", "no.label", "x_y"}
	oddApps        = []string{"prod", "staging", "ns", "pod", "10-0-0-1", "FD00--0"}
	// oddNames are those of a pod or a host that are another's, or would be with the zone or some of it behind them.
	oddNames = []string{"ns.dns", "dns", "ns", "10-0-0-1", "10-1-2-3", "fd00--1", "fd00--0", "10-0-0-1.prod.pod", "h0.web.prod.svc", "h0.web", "web"}
	// badNames are none of a pod, but others may write them down.
	badNames      = slices.Concat(oddNames, []string{"_tcp", "*", "a b"})
	someBasenames = []string{"shop", "shop", "Shop", "9_-", "no.basename", ""}
	somePorts     = []string{"http", "epmd", "dist", "HTTP"}
	someIPv4      = []string{"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "10.1.2.3", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"}
	// oddAddresses are none of a member's.
	oddAddresses  = []string{"10.0.0.300", "", "169.254.1.1", "fe80::1", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "239.0.0.1", "::ffff:10.0.0.1", "fd00::1%eth0"}
	someIPv6      = []string{"fd00::1", "fd00::", "fd00::1:0:0:2", "2001:db8::1"}
	someAddresses = slices.Concat(someIPv4, someIPv4, someIPv6, someIPv6, oddAddresses)

	// askers are addresses of clients: the first is no member's.
	askers = []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}
)

// someSelectors are selectors, and what they select.
var someSelectors = []struct {
	text    string
	matches func(labels map[string]string) bool
}{
	{"app", func(l map[string]string) bool { _, ok := l["app"]; return ok }},
	{"app=web", func(l map[string]string) bool { return l["app"] == "web" }},
	{"app in (web, db),tier!=back", func(l map[string]string) bool {
		return (l["app"] == "web" || l["app"] == "db") && l["tier"] != "back"
	}},
	{"!tier", func(l map[string]string) bool { _, ok := l["tier"]; return !ok }},
}

func newWorld(seed uint64) *world {
	w := &world{
		Rand:   rand.New(rand.NewPCG(seed, 0)),
		pods:   make(map[string]*corev1.Pod),
		slices: make(map[string]*discoveryv1.EndpointSlice),
	}
	w.next = w.often(2)
	for range 2 + w.IntN(6) {
		if b := w.block(len(w.blocks)); b != nil {
			w.blocks = append(w.blocks, b)
		}
	}
	for _, b := range w.blocks {
		for _, other := range w.blocks {
			b.served = append(b.served, other.zones...)
		}
	}
	for range 10 + w.IntN(70) {
		w.change()
	}
	many := w.slice() // too many for a small answer
	many.Name, many.AddressType, many.Endpoints = "many", "IPv4", nil
	for i := range 60 {
		e := w.endpoint("IPv4")
		e.Addresses = []string{fmt.Sprint("10.2.0.", i)}
		many.Endpoints = append(many.Endpoints, e)
	}
	w.slices[many.Namespace+"/many"] = many
	return w
}

// often is true once in so many times.
func (w *world) often(n int) bool { return w.IntN(n) == 0 }

func pick[T any](w *world, from []T) T { return from[w.IntN(len(from))] }

// mostly picks one of some values, and seldom an odd one.
func mostly[T any](w *world, usual, odd []T) T {
	if w.often(6) {
		return pick(w, odd)
	}
	return pick(w, usual)
}

// meta is that of an object of some age, if it tells.
func (w *world) meta(name string, labels map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: mostly(w, someNamespaces, oddNamespaces), Name: strings.ToLower(name), Labels: labels}
	if !w.often(4) {
		m.CreationTimestamp = metav1.Unix(1_700_000_000+int64(w.IntN(3)), 0)
	}
	return m
}

// block makes a block that the others go with, nil if CoreDNS would not start with it.
func (w *world) block(index int) *ruleBlock {
	b := &ruleBlock{
		lookupPods: w.often(2), include: pick(w, []string{"", "ready", "serving", "all"}),
		mode: pick(w, []string{"ip", "dns", "hostname"}), family: pick(w, []string{"", "", "ipv4", "ipv6"}),
		domain: pick(w, []string{"erl.test", "erl.test", "a.erl.test", "Erl.Test", "cluster.local"}),
		ttl:    uint32(w.IntN(100)), port: 4369,
	}
	// No other block has this zone: its serial shows when the block has read the file again.
	b.zones = append(b.zones, fmt.Sprintf("block%d.", index))
	for range w.IntN(4) {
		b.zones = append(b.zones, pick(w, someZones))
	}
	for range w.IntN(4) {
		b.zones = append(b.zones, pick(w, someNets))
	}
	if len(w.blocks) > 0 && w.often(2) { // some of another's
		for _, zone := range pick(w, w.blocks).zones {
			if !strings.HasPrefix(zone, "block") && !w.often(3) {
				b.zones = append(b.zones, zone)
			}
		}
	}
	slices.Sort(b.zones)
	b.zones = slices.Compact(b.zones)
	if w.often(3) { // of what is there
		b.domain = strings.TrimSuffix(pick(w, slices.DeleteFunc(slices.Clone(b.zones), func(zone string) bool { return strings.HasSuffix(zone, ".arpa.") })), ".")
	}
	if w.often(2) {
		b.groupBy = pick(w, []string{"app", "app", discoveryv1.LabelServiceName})
	}
	switch w.IntN(4) {
	case 0, 1:
		b.passes = []string{"."}
	case 2: // some names pass, and others do not
		b.passes = []string{pick(w, someZones), pick(w, someNets)}
	}
	w.reconcile(b)
	if b.groupBy == "" || w.often(2) {
		selector := pick(w, someSelectors)
		b.selector, b.selects = selector.text, selector.matches
	}
	if b.groupBy == "" || w.often(2) {
		if w.often(2) {
			b.basename = pick(w, []string{"shop", "Db_9-"})
		} else {
			b.basenameLabel = "beam"
		}
	}
	if b.mode == "hostname" && w.often(3) {
		b.service = "given"
	}
	b.podNames = b.mode == "hostname" && w.often(3)
	switch w.IntN(4) {
	case 0:
		b.portName = pick(w, []string{"http", "dist"})
	case 1:
		b.port = uint16(1 + w.IntN(65535))
	}
	b.namespaces = pick(w, [][]string{nil, nil, {"*"}, {"*"}, someNamespaces, someNamespaces, someNamespaces[:1], someNamespaces[1:], {"nobody"}})
	if b.groupBy != "" && b.mode == "hostname" && slices.ContainsFunc(b.zones, func(zone string) bool {
		namespace, ok := strings.CutSuffix(zone, ".svc."+strings.ToLower(b.domain)+".")
		return ok && !strings.Contains(namespace, ".")
	}) {
		return nil // CoreDNS would not start
	}
	return b
}

// reconcile has a block agree with those that it shares a zone with: with the first, and the zones of those that do
// not go with that one are not its own.
func (w *world) reconcile(b *ruleBlock) {
	shares := func(other *ruleBlock) bool {
		return slices.ContainsFunc(other.zones, func(zone string) bool { return slices.Contains(b.zones, zone) })
	}
	if at := slices.IndexFunc(w.blocks, shares); at >= 0 {
		first := w.blocks[at]
		b.ttl, b.passes = first.ttl, first.passes
		if (b.groupBy == "") != (first.groupBy == "") {
			b.groupBy = first.groupBy
		}
	}
	for _, other := range w.blocks {
		if b.ttl != other.ttl || !slices.Equal(b.passes, other.passes) || (b.groupBy == "") != (other.groupBy == "") {
			b.zones = slices.DeleteFunc(b.zones, func(zone string) bool { return slices.Contains(other.zones, zone) })
		}
	}
}

// corefile has the blocks read what is in a directory.
func (w *world) corefile(dir string) string {
	var text strings.Builder
	text.WriteString(".:0 {\n bind " + w.address + "\n transfer {\n  to *\n }\n")
	for _, b := range w.blocks {
		option := func(name string, values ...string) {
			if len(values) > 0 && values[0] != "" {
				fmt.Fprintf(&text, "  %s %s\n", name, strings.Join(values, " "))
			}
		}
		fmt.Fprintf(&text, " longnames %s {\n", strings.Join(b.zones, " "))
		option("manifests", strconv.Quote(dir+"/objects.yaml"))
		option("hold", "0")
		option("namespaces", b.namespaces...)
		option("selector", b.selector)
		option("include", b.include)
		option("group_by", b.groupBy)
		option("basename", b.basename)
		option("mode", b.mode)
		option("service", b.service)
		if b.podNames {
			text.WriteString("  endpoint_pod_names\n")
		}
		option("cluster_domain", b.domain)
		option("family", b.family)
		option("ttl", fmt.Sprint(b.ttl))
		option("port", b.portName)
		if b.lookupPods {
			option("lookup", "pods")
		}
		if b.basenameLabel != "" {
			option("basename", "label", b.basenameLabel)
		}
		if b.portName == "" {
			option("port", fmt.Sprint(b.port))
		}
		switch {
		case slices.Equal(b.passes, []string{"."}):
			text.WriteString("  fallthrough\n")
		default:
			option("fallthrough", b.passes...)
		}
		text.WriteString(" }\n")
	}
	if w.next {
		text.WriteString(" whoami\n")
	}
	text.WriteString("}\n")
	return text.String()
}

// change makes an object, changes one or takes one away.
func (w *world) change() {
	if w.often(2) {
		p := w.pod()
		key := p.Namespace + "/" + p.Name
		if w.pods[key] != nil && w.often(3) {
			delete(w.pods, key)
		} else {
			w.pods[key] = p
		}
		return
	}
	s := w.slice()
	key := s.Namespace + "/" + s.Name
	if w.slices[key] != nil && w.often(3) {
		delete(w.slices, key)
	} else {
		w.slices[key] = s
	}
}

func (w *world) labels(service string) map[string]string {
	labels := map[string]string{"app": mostly(w, someApps, oddApps), "beam": pick(w, someBasenames)}
	if service != "" {
		labels[discoveryv1.LabelServiceName] = service
	}
	if w.often(4) {
		labels["tier"] = "back"
	}
	if w.often(8) {
		delete(labels, pick(w, []string{"app", "beam"}))
	}
	return labels
}

func (w *world) pod() *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: w.meta(mostly(w, somePods, oddNames), w.labels("")),
		Status:     corev1.PodStatus{Phase: pick(w, []corev1.PodPhase{"Running", "Running", "Running", "Running", "Running", "Running", "Pending", "Succeeded", "Failed"})},
	}
	if w.often(2) {
		p.Labels[discoveryv1.LabelServiceName] = pick(w, someServices) // as good as any label
	}
	if w.often(2) {
		p.Spec.Hostname = w.hostname(p.Name)
	}
	if w.often(2) {
		p.Spec.Subdomain = mostly(w, someServices, oddServices)
	}
	for range w.IntN(3) {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: pick(w, someAddresses)})
	}
	if len(p.Status.PodIPs) == 0 || w.often(2) {
		p.Status.PodIP = pick(w, someAddresses)
	}
	if ready := w.condition(); ready != nil {
		status := corev1.ConditionFalse
		if *ready {
			status = corev1.ConditionTrue
		}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: status}}
	}
	if w.often(4) {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1_700_000_000, 0)}
	}
	for range w.IntN(3) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Ports: w.containerPorts()})
	}
	if w.often(4) {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Ports: w.containerPorts()}, {RestartPolicy: &always, Ports: w.containerPorts()}}
	}
	return p
}

// hostname is that of a pod, mostly its name.
func (w *world) hostname(pod string) string {
	if w.often(2) {
		return mostly(w, someHostnames, badNames)
	}
	return pod
}

func (w *world) condition() *bool {
	return pick(w, []*bool{nil, new(true), new(true), new(false)})
}

func (w *world) containerPorts() (ports []corev1.ContainerPort) {
	for range w.IntN(3) {
		ports = append(ports, corev1.ContainerPort{
			Name: pick(w, append(somePorts, "")), ContainerPort: int32(80 + w.IntN(3)), Protocol: pick(w, []corev1.Protocol{"", "TCP", "UDP"}),
		})
	}
	return ports
}

// slice is one of a Service, of which two have each address type.
func (w *world) slice() *discoveryv1.EndpointSlice {
	service := mostly(w, someServices, oddServices)
	family := pick(w, []discoveryv1.AddressType{"IPv4", "IPv4", "IPv4", "IPv4", "IPv6", "IPv6", "IPv6", "FQDN"})
	s := &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta:  w.meta(fmt.Sprintf("%s-%s-%d", service, family, w.IntN(2)), w.labels(service)),
		AddressType: family,
	}
	if w.often(8) {
		delete(s.Labels, discoveryv1.LabelServiceName)
	}
	for range w.IntN(3) {
		port := discoveryv1.EndpointPort{Name: new(pick(w, append(somePorts, ""))), Port: new(int32(80 + w.IntN(3)))}
		port.Protocol = pick(w, []*corev1.Protocol{nil, new(corev1.ProtocolTCP), new(corev1.ProtocolUDP)})
		if w.often(8) {
			port.Port = nil
		}
		s.Ports = append(s.Ports, port)
	}
	for range w.IntN(9) {
		s.Endpoints = append(s.Endpoints, w.endpoint(family))
	}
	return s
}

// endpoint is mostly a pod. Its hostname follows from its pod, as in Kubernetes, but not all
// slices tell it.
func (w *world) endpoint(family discoveryv1.AddressType) discoveryv1.Endpoint {
	from := map[discoveryv1.AddressType][]string{"IPv4": someIPv4, "IPv6": someIPv6, "FQDN": {"host.test"}}[family]
	e := discoveryv1.Endpoint{Addresses: []string{pick(w, from)}, Conditions: discoveryv1.EndpointConditions{
		Ready: w.condition(), Serving: w.condition(), Terminating: pick(w, []*bool{nil, nil, new(false), new(true)}),
	}}
	if w.often(8) {
		e.Addresses = append(e.Addresses, pick(w, someAddresses))
	}
	pods, hostnames := slices.Concat(somePods, badNames), slices.Concat(somePods[:3], someHostnames[:3], badNames[1:], []string{"bad_host"})
	at := w.IntN(len(somePods))
	if w.often(6) {
		at = w.IntN(len(pods))
	}
	switch w.IntN(6) {
	case 0:
		if w.often(2) {
			e.Hostname = new(mostly(w, someHostnames, badNames))
		}
	case 1:
		e.TargetRef = &corev1.ObjectReference{Kind: "VirtualMachine", Name: "vm", UID: types.UID(fmt.Sprint("uid-", at))}
	default:
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pods[at]}
		if w.often(2) {
			e.Hostname = new(hostnames[at])
		}
	}
	return e
}

// write puts the objects into a file, as JSON or YAML. It adds objects without members to each
// namespace, so that every block sees a change.
func (w *world) write(t testing.TB, dir string) {
	t.Helper()
	w.written++
	for _, namespace := range append(slices.Clone(someNamespaces), "nobody") {
		meta := metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprint("generation-", w.written),
			Labels: map[string]string{"app": "web", discoveryv1.LabelServiceName: "web"},
		}
		key := namespace + "/generation"
		w.pods[key] = &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta}
		w.slices[key] = &discoveryv1.EndpointSlice{
			TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}, ObjectMeta: meta, AddressType: "IPv4",
		}
	}
	items := []any{}
	for _, p := range inOrder(w.pods) {
		items = append(items, p)
	}
	for _, s := range inOrder(w.slices) {
		items = append(items, s)
	}
	marshal := json.Marshal
	if w.often(2) {
		marshal = yaml.Marshal
	}
	text, err := marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "objects.yaml", string(text))
}

// String writes the objects for a reader.
func (w *world) String() string {
	var text strings.Builder
	for _, p := range inOrder(w.pods) {
		line, _ := json.Marshal(p)
		text.Write(append(line, '\n'))
	}
	for _, s := range inOrder(w.slices) {
		line, _ := json.Marshal(s)
		text.Write(append(line, '\n'))
	}
	return text.String()
}
