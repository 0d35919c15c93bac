package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// kubernetesAddress is that of the Service of the API server, the first of the Services' network.
const kubernetesAddress = "10.96.0.1"

// backends give a port of those that may be asked, or an error if there is nobody.
type backends func() (netip.AddrPort, error)

// serveAPI has pods reach the API server where they expect it.
func (t *trial) serveAPI() {
	api := netip.MustParseAddrPort(apiAddress)
	t.reach(kubernetesAddress)
	t.relayTCP(netip.MustParseAddrPort(kubernetesAddress+":443"), func() (netip.AddrPort, error) { return api, nil })
}

// serveService does what kube-proxy does for a Service: what comes to one of its addresses goes to one of its endpoints of
// the same family that are ready, and comes from us. It gives the first address.
func (t *trial) serveService(namespace, name string) string {
	s, err := t.client.CoreV1().Services(namespace).Get(t.ctx, name, metav1.GetOptions{})
	t.must(err)
	endpoints := t.followEndpoints(namespace, name)
	for _, text := range s.Spec.ClusterIPs {
		t.reach(text)
		address := netip.MustParseAddr(text)
		for _, port := range s.Spec.Ports {
			pick := func() (netip.AddrPort, error) {
				ready := (*endpoints.Load())[endpointPort{port.Name, address.Is6()}]
				if len(ready) == 0 {
					return netip.AddrPort{}, fmt.Errorf("service %s has no endpoint for port %s of %s", name, port.Name, address)
				}
				return ready[rand.IntN(len(ready))], nil //nolint:gosec // it is for nobody to guess
			}
			at := netip.AddrPortFrom(address, uint16(port.Port)) //nolint:gosec // it is a port
			if port.Protocol == corev1.ProtocolUDP {
				t.relayUDP(at, pick)
			} else {
				t.relayTCP(at, pick)
			}
		}
	}
	return s.Spec.ClusterIP
}

// endpointPort is a port of a Service, by its name, in one of the families.
type endpointPort struct {
	name  string
	inet6 bool
}

// reach gives the bridge an address.
func (t *trial) reach(address string) {
	t.must(batch(t.ctx, in(t.plane.name, "addr add "+prefix(netip.MustParseAddr(address))+" dev br0")...))
}

// followEndpoints keeps the endpoints of a Service that are ready.
func (t *trial) followEndpoints(namespace, service string) *atomic.Pointer[map[endpointPort][]netip.AddrPort] {
	var out atomic.Pointer[map[endpointPort][]netip.AddrPort]
	out.Store(&map[endpointPort][]netip.AddrPort{})
	factory := informers.NewSharedInformerFactoryWithOptions(t.client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = discoveryv1.LabelServiceName + "=" + service }))
	slices := factory.Discovery().V1().EndpointSlices()
	update := func(any) {
		all, _ := slices.Lister().EndpointSlices(namespace).List(labels.Everything())
		ready := readyEndpoints(all)
		out.Store(&ready)
	}
	_, err := slices.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: update, UpdateFunc: func(_, o any) { update(o) }, DeleteFunc: update,
	})
	t.must(err)
	factory.StartWithContext(t.ctx)
	t.cleanup(factory.Shutdown)
	return &out
}

func readyEndpoints(slices []*discoveryv1.EndpointSlice) map[endpointPort][]netip.AddrPort {
	out := make(map[endpointPort][]netip.AddrPort)
	for _, s := range slices {
		for _, port := range s.Ports {
			for _, e := range s.Endpoints {
				if s.AddressType == discoveryv1.AddressTypeFQDN || e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				at := netip.AddrPortFrom(netip.MustParseAddr(e.Addresses[0]), uint16(*port.Port)) //nolint:gosec // it is a port
				of := endpointPort{*port.Name, at.Addr().Is6()}
				out[of] = append(out[of], at)
			}
		}
	}
	return out
}

// relayTime is how long an answer may take.
const relayTime = 5 * time.Second

// relayUDP passes each packet on to one of the backends, and its answer back.
func (t *trial) relayUDP(at netip.AddrPort, pick backends) {
	var conn net.PacketConn
	t.must(t.plane.do(func() (err error) {
		conn, err = net.ListenPacket("udp", at.String())
		return err
	}))
	t.cleanup(func() { conn.Close() })
	go func() {
		for {
			buffer := make([]byte, 65535)
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			go func() {
				answer, err := t.exchange(pick, buffer[:n])
				if err == nil {
					_, err = conn.WriteTo(answer, from)
				}
				if err != nil && !errors.Is(err, net.ErrClosed) {
					t.note("no answer from %s: %v", at, err)
				}
			}()
		}
	}()
}

func (t *trial) exchange(pick backends, question []byte) ([]byte, error) {
	to, err := pick()
	if err != nil {
		return nil, err
	}
	conn, err := t.plane.dial(t.ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(relayTime)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 65535)
	n, err := conn.Read(answer)
	return answer[:n], err
}

// relayTCP passes each connection on to one of the backends.
func (t *trial) relayTCP(at netip.AddrPort, pick backends) {
	l, err := t.plane.listen(net.JoinHostPort(at.Addr().String(), strconv.Itoa(int(at.Port()))))
	t.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.ctx))
	t.cleanup(func() {
		l.Close()
		cancel()
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go t.pass(ctx, client, at, pick)
		}
	}()
}

func (t *trial) pass(ctx context.Context, client net.Conn, at netip.AddrPort, pick backends) {
	defer client.Close()
	to, err := pick()
	if err != nil {
		t.note("nobody at %s: %v", at, err)
		return
	}
	server, err := t.plane.dial(ctx, "tcp", to.String())
	if err != nil {
		t.note("nobody at %s: %v", at, err)
		return
	}
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})
	defer stop()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
	server.Close()
}
