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
	host := strings.ReplaceAll(s.honest[0].pods[0], ".", "-")
	for _, namespace := range []string{"pod", "svc", "dns"} {
		for i, pod := range []string{host, host + ".prod.pod", "shop-0", "shop.prod", "ns.dns", "a\nb", "a\x1b[31m", "\x00", "ä",
			strings.Repeat("l", 100_000)} {
			name := fmt.Sprint("named-", i)
			all = append(all, slice(namespace, name, "ns", "x", endpoint(pod, s.fresh())), slice(namespace, name+"-host", host, "shop",
				endpoint(pod, s.fresh())), slice(namespace, name+"-shop", "prod", "shop", endpoint(pod, s.honest[0].pods[0])))
		}
	}
	for i, address := range []string{"127.0.0.1", "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0"} {
		all = append(all, slice(evil, fmt.Sprint("address-", i), "address", "x", endpoint("address", address)))
	}
	return all
}

// ports is a slice with so many, which the asker from the first source has.
func (s *soak) ports(n int) *discoveryv1.EndpointSlice {
	ports := slice(evil, "ports", "ports", "x", append(s.endpoints(9, "ports"), endpoint("ports", source(0)))...)
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
	_, err := s.slices.EndpointSlices(one.Namespace).Create(s.Context(), one, metav1.CreateOptions{})
	if apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || err != nil && strings.Contains(err.Error(), "too large") {
		s.Logf("%s/%s is refused: %.200s", one.Namespace, one.Name, err)
		return false
	}
	require.NoError(s, err)
	return true
}

// most creates the slice with as much of something as the API server accepts.
func (s *soak) most(n int, of func(n int) *discoveryv1.EndpointSlice) {
	for ; !s.create(of(n)); n = n * 9 / 10 {
	}
	s.Logf("%s: %d are accepted", of(0).Name, n)
}

// churn rewrites a slice all the time, each time with other addresses, and returns how often it has.
func (s *soak) churn(ctx context.Context) (written int) {
	tick := time.NewTicker(time.Second / 10)
	defer tick.Stop()
	for ctx.Err() == nil {
		one := slice(evil, "churn", "churn", "x", s.endpoints(many, "churn")...)
		if _, err := s.slices.EndpointSlices(evil).Update(ctx, one, metav1.UpdateOptions{}); err == nil {
			written++
		} else if ctx.Err() == nil {
			s.Error(err)
		}
		<-tick.C
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

// questions are all kinds of them: about the crowd of other tenants, and hostile ones.
func (s *soak) questions() (crowd, hostile [][]byte) {
	for i := range s.others {
		name := fmt.Sprintf("%s.others.%s", other(i), zone)
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
			crowd = append(crowd, question(name, qtype))
		}
		crowd = append(crowd, question(other(i)+"-0."+name, dns.TypeSRV), question("_epmd._tcp."+name, dns.TypeSRV))
	}
	clusters := []string{"wide.evil", "same.evil", "ports.evil", "addresses.evil", "crowd.evil", "churn.evil", "claim-7.evil", "ns.dns",
		"ns.pod", "prod.pod", "prod.svc", "nobody.evil", "evil", "nobody"}
	for _, h := range s.honest {
		clusters = append(clusters, h.name+".prod")
	}
	dashed := strings.ReplaceAll(source(0), ".", "-")
	for _, c := range clusters {
		c += "." + zone
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeMX, dns.TypePTR,
			dns.TypeDS, dns.TypeAXFR, 65280} {
			hostile = append(hostile, question(c, qtype))
		}
		for _, label := range []string{"_epmd._tcp", "_p00000._tcp", "_p19999._tcp", "_nothing._tcp", "_tcp", "_udp", "*", "same",
			"nobody", "wide-0-7", "crowd-7", dashed, dashed + ".prod.pod", "a.b.c.d.e", strings.Repeat("l", 63)} {
			hostile = append(hostile, question(label+"."+c, dns.TypeSRV), question(label+"."+c, dns.TypeA), question(label+"."+c, dns.TypeTXT))
		}
	}
	pointer, _ := dns.ReverseAddr(source(0))
	for _, name := range []string{zone, "ns.dns." + zone, "dns." + zone, pointer, ".", "example.org", strings.Repeat("a.", 100) + zone} {
		for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeA, dns.TypePTR, dns.TypeAXFR, dns.TypeIXFR} {
			hostile = append(hostile, question(name, qtype))
		}
	}
	return crowd, hostile
}

// disguise writes a question as one of those forms in which it is dearest: with EDNS for 64 KiB, with signatures, not in
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
	crowd, hostile := s.questions()
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
			from := hostile
			if sent/len(conns)%2 == 0 {
				from = crowd
			}
			buf = disguise(buf, from[rand.IntN(len(from))])
			_, _ = conns[sent%len(conns)].Write(buf) // whether it is answered is counted there
		}
	}
	return sent
}

// So many connections over TCP wait at a time, each for so long.
const (
	stalled   = 60
	stallTime = 20 * time.Second
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
