package soak

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// evil is the namespace of a tenant that writes EndpointSlices by hand. It has other namespaces, whose names are like parts
// of the names of others.
const evil = "evil"

// sources are how many addresses the flood comes from. The first one is that of very many hostile members.
const sources = 200

func source(i int) string { return cluster.HostAddress(3, i) }

// many is how many endpoints a slice may have.
const many = 1000

func slice(namespace, name, service, basename string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: service, "longnames.dev/basename": basename}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
	}
}

func endpoint(pod, address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}}
}

// endpoints are so many, each with an address that nobody else has.
func (s *soak) endpoints(n int, pod string) []discoveryv1.Endpoint {
	all := make([]discoveryv1.Endpoint, n)
	for i := range all {
		all[i] = endpoint(fmt.Sprintf("%s-%d", pod, i), s.fresh())
	}
	return all
}

// hostile are what the tenant writes. The API server may refuse some.
func (s *soak) hostile() (all []*discoveryv1.EndpointSlice) {
	for i := range 5 {
		all = append(all, slice(evil, fmt.Sprint("wide-", i), "wide", "x", s.endpoints(many, fmt.Sprint("wide-", i))...))
	}
	same := slice(evil, "same", "same", "x", s.endpoints(many, "same")...)
	for i := range same.Endpoints {
		same.Endpoints[i].Hostname = new("same")
	}
	all = append(all, same)
	for i := range many {
		name := fmt.Sprint("claim-", i)
		all = append(all, slice(evil, name, name, "x", endpoint(name, source(0))))
		crowd := slice(evil, fmt.Sprint("crowd-", i), "crowd", fmt.Sprint("x-", i), endpoint(fmt.Sprint("crowd-", i), source(0)))
		crowd.Endpoints[0].Conditions.Ready = new(false)
		all = append(all, crowd)
	}
	host := dashed(s.honest[0].pods[0])
	for _, namespace := range []string{"pod", "svc", "dns"} {
		for i, pod := range []string{host, host + ".prod.pod", "shop-0", "shop.prod", "ns.dns", "a\nb", "a\x1b[31m", "\x00", "ä",
			strings.Repeat("l", 100_000)} {
			name := fmt.Sprint("named-", i)
			all = append(all, slice(namespace, name, "ns", "x", endpoint(pod, s.fresh())), slice(namespace, name+"-host", host, "shop",
				endpoint(pod, s.fresh())), slice(namespace, name+"-shop", "prod", "shop", endpoint(pod, s.honest[0].pods[0])))
		}
	}
	for i, address := range hostileAddresses {
		one := slice(evil, fmt.Sprint("address-", i), "address", "x", endpoint("address", address))
		if strings.Contains(address, ":") {
			one.AddressType = discoveryv1.AddressTypeIPv6
		}
		all = append(all, one)
	}
	return all
}

// hostileAddresses lead to no node, or to one of the other family.
var hostileAddresses = []string{
	"127.0.0.1", "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0",
	"::1", "fe80::1", "ff02::1", "::", "::ffff:10.0.0.1", "fd00:66::6",
}

func pod(namespace, name, app, basename, address string, ready bool) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app, "role": basename}},
		Spec:       corev1.PodSpec{NodeName: cluster.NoNode, Containers: []corev1.Container{{Name: "app", Image: "none"}}},
		Status:     cluster.RunningStatus(ready, address),
	}
}

// pods are those of the tenant. Who may write pods/status has any address. The first one is the oldest of those that wait
// for the others of its cluster at the first source.
func (s *soak) pods() []*corev1.Pod {
	all := []*corev1.Pod{pod(evil, "ports", "crowd", "a", source(0), false)}
	for i := range 15_000 {
		app := &all[0].Spec.Containers[0]
		app.Ports = append(app.Ports, corev1.ContainerPort{Name: fmt.Sprintf("p%05d", i), ContainerPort: int32(i + 1)})
	}
	for i := range 2 * many {
		all = append(all, pod(evil, fmt.Sprint("crowd-", i), "crowd", "x", s.fresh(), true))
		if i < many {
			all = append(all, pod(evil, fmt.Sprint("wait-", i), "crowd", fmt.Sprint("x-", i), source(0), false))
		}
	}
	first := s.honest[0].pods[0]
	for n, namespace := range []string{evil, "pod", "svc", "dns"} {
		for i, name := range []string{dashed(first), dashed(first) + ".prod.pod", "shop-0", "ns.dns", "ns", "prod"} {
			address := []string{first, s.fresh(), s.fresh6()}[(i+n)%3]
			all = append(all, pod(namespace, name, []string{"shop", "ns", "prod"}[i%3], "shop", address, true))
		}
	}
	for i, address := range hostileAddresses {
		all = append(all, pod(evil, fmt.Sprint("address-", i), "address", "x", address, true))
	}
	return all
}

// run creates a pod, and says that it runs, as far as the API server accepts that.
func (s *soak) run(p *corev1.Pod) {
	pods := s.fast.CoreV1().Pods(p.Namespace)
	created, err := pods.Create(s.Context(), p, metav1.CreateOptions{})
	if err == nil {
		created.Status = p.Status
		_, err = pods.UpdateStatus(s.Context(), created, metav1.UpdateOptions{})
	}
	s.accepted(p.Namespace+"/"+p.Name, err)
}

// ports is a slice with so many, which the asker from the first source has. Each time, it has another name.
func (s *soak) ports(n int) *discoveryv1.EndpointSlice {
	ports := slice(evil, "ports-"+dashed(s.fresh()), "ports", "x", append(s.endpoints(9, "ports"), endpoint("ports", source(0)))...)
	for i := range n {
		ports.Ports = append(ports.Ports, discoveryv1.EndpointPort{Name: new(fmt.Sprintf("p%05d", i)), Port: new(int32(i + 1)),
			Protocol: new(corev1.ProtocolTCP)})
	}
	return ports
}

// addresses is a slice with so many endpoints, and as many addresses of each as there can be.
func (s *soak) addresses(n int) *discoveryv1.EndpointSlice {
	all := slice(evil, "addresses", "addresses", "x", s.endpoints(n, "addresses")...)
	for i := range all.Endpoints {
		for range 99 {
			all.Endpoints[i].Addresses = append(all.Endpoints[i].Addresses, s.fresh())
		}
	}
	return all
}

// create reports whether the API server accepts a slice.
func (s *soak) create(one *discoveryv1.EndpointSlice) bool {
	_, err := s.fast.DiscoveryV1().EndpointSlices(one.Namespace).Create(s.Context(), one, metav1.CreateOptions{})
	return s.accepted(one.Namespace+"/"+one.Name, err)
}

// accepted reports whether the API server accepts an object, or else refuses it for what it is.
func (s *soak) accepted(name string, err error) bool {
	if apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || err != nil && strings.Contains(err.Error(), "too large") {
		s.Logf("%s is refused: %.200s", name, err)
		return false
	}
	require.NoError(s, err)
	return true
}

// most creates the slice with as much of something as the API server accepts, and returns how much that is.
func (s *soak) most(n int, of func(n int) *discoveryv1.EndpointSlice) int {
	for ; !s.create(of(n)); n = n * 9 / 10 {
	}
	s.Logf("%s: %d are accepted", of(0).Name, n)
	return n
}

// churn rewrites a slice all the time, each time with other addresses, and returns how often it has.
func (s *soak) churn(ctx context.Context) (written int) {
	for begin := time.Now(); ctx.Err() == nil; time.Sleep(time.Until(begin.Add(time.Duration(written) * time.Second / changes))) {
		one := slice(evil, "churn", "churn", "x", s.endpoints(many, "churn")...)
		if _, err := s.fast.DiscoveryV1().EndpointSlices(evil).Update(ctx, one, metav1.UpdateOptions{}); err == nil {
			written++
		} else if ctx.Err() == nil {
			s.Error(err)
			return written
		}
	}
	return written
}

// question is a message with one, in wire format.
func question(name string, qtype uint16) []byte {
	m, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype).Pack()
	if err != nil {
		panic(err)
	}
	return m
}

// questions are all kinds of them: about the crowd of other tenants, hostile ones, and those of somebody who waits.
func (s *soak) questions() (crowd, hostile, waits [][]byte) {
	for i := range s.others {
		name := fmt.Sprintf("%s.others.%s", other(i), zone)
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
			crowd = append(crowd, question(name, qtype))
		}
		crowd = append(crowd, question(other(i)+"-0."+name, dns.TypeSRV), question("_epmd._tcp."+name, dns.TypeSRV))
	}
	clusters := []string{oneZone}
	for _, c := range []string{"wide.evil", "same.evil", "ports.evil", "addresses.evil", "crowd.evil", "churn.evil", "claim-7.evil",
		"ns.dns", "ns.pod", "prod.pod", "prod.svc", "shop.evil", "nobody.evil", "evil", "nobody", "shop.prod", "cart.prod", "large.prod",
		"six.prod"} {
		clusters = append(clusters, c+"."+zone, c+"."+podZone)
	}
	honest, own := dashed(s.honest[0].pods[0]), dashed(source(0))
	for _, c := range clusters {
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeMX, dns.TypePTR,
			dns.TypeDS, dns.TypeAXFR, 65280} {
			hostile = append(hostile, question(c, qtype))
		}
		for _, label := range []string{"_epmd._tcp", "_p00000._tcp", "_p19999._tcp", "_nothing._tcp", "_tcp", "_udp", "*", "same",
			"nobody", "wide-0-7", "crowd-7", own, own + ".prod.pod", honest, honest + ".prod.pod", honest + ".evil.pod", "shop-0",
			"a.b.c.d.e", strings.Repeat("l", 63)} {
			hostile = append(hostile, question(label+"."+c, dns.TypeSRV), question(label+"."+c, dns.TypeA), question(label+"."+c, dns.TypeTXT))
		}
	}
	names := []string{".", "example.org", strings.Repeat("a.", 100) + zone, "11.in-addr.arpa", "d.f.ip6.arpa"}
	for _, z := range []string{zone, podZone, oneZone} {
		names = append(names, z, "ns.dns."+z, "dns."+z)
	}
	for _, address := range []string{source(0), s.honest[0].pods[0], "11.255.255.255", "fd00:66::6", "fd00::ffff"} {
		names = append(names, watch.Reverse(address))
	}
	for _, name := range names {
		for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeA, dns.TypePTR, dns.TypeAXFR, dns.TypeIXFR} {
			hostile = append(hostile, question(name, qtype))
		}
	}
	for _, label := range []string{"", "_epmd._tcp.", "_p00042._tcp.", "_nothing._tcp.", "_tcp.", "nobody.", "wait-7.", own + "."} {
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeMX} {
			waits = append(waits, question(label+"crowd.evil."+podZone, qtype))
		}
	}
	return crowd, hostile, waits
}

// disguise writes a question as one of those forms in which it is most expensive: with EDNS for 64 KiB, with signatures, not in
// lower case. Nobody reads the answer.
func disguise(buf, question []byte) []byte {
	buf = append(buf[:0], question...)
	form := rand.Uint32()
	binary.BigEndian.PutUint16(buf, uint16(form))
	if form>>16&1 == 0 {
		for i := 12; i < len(buf)-4; i++ { // lengths of labels are no letters
			if c := buf[i] | 0x20; c >= 'a' && c <= 'z' && rand.Uint32()&1 == 0 {
				buf[i] ^= 0x20
			}
		}
	}
	if form>>17&3 > 0 {
		buf[11] = 1 // additional record
		buf = append(buf, 0, 0, byte(dns.TypeOPT), 0xff, 0xff, 0, 0, byte(form>>18&1)<<7, 0, 0, 0)
	}
	return buf
}

// flood asks at a rate from very many addresses, and returns how many questions it has sent.
func (s *soak) flood(ctx context.Context, rate float64) (sent int) {
	crowd, hostile, waits := s.questions()
	conns := make([]net.Conn, sources)
	for i := range conns {
		conn, err := s.attacker.DialFrom(s.Context(), source(i), s.address())
		require.NoError(s, err)
		defer conn.Close()
		require.NoError(s, conn.(*net.UDPConn).SetReadBuffer(0)) // the least there is
		conns[i] = conn
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 0, dns.MinMsgSize)
	for begin := time.Now(); ctx.Err() == nil; <-tick.C {
		for due := min(int(rate*time.Since(begin).Seconds()), sent+1000); sent < due; sent++ {
			from, conn := [][][]byte{crowd, hostile, waits}[sent%3], conns[sent/3%len(conns)]
			if sent%3 == 2 {
				conn = conns[0]
			}
			buf = disguise(buf, from[rand.IntN(len(from))])
			_, _ = conn.Write(buf) // whether it is answered is counted there
		}
	}
	return sent
}

// So many connections over TCP wait at a time, each for so long: longer than a transfer waits.
const (
	stalled   = 60
	stallTime = 30 * time.Second
)

// stall asks over TCP, several times at once, and reads nothing. Not all do so at the same time.
func (s *soak) stall(ctx context.Context, number int, questions ...[]byte) {
	question := questions[number%len(questions)]
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)
	wait := stallTime * time.Duration(number) / stalled
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = stallTime
		conn, err := s.attacker.Dial(ctx, "tcp", s.address())
		if err != nil {
			continue
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(0)
		for range 4 {
			_, _ = conn.Write(framed)
		}
		time.AfterFunc(stallTime, func() { conn.Close() })
	}
}
