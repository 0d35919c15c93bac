package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// monitored are two CoreDNS that are asked all the time, and a Prometheus that reads their metrics.
type monitored struct {
	*stage
	prometheus *prometheus
	intercept  *intercept

	shop, apps, secret string // namespaces; CoreDNS has no right in the last one
	a, b               *replica

	pace     time.Duration // between two events
	begin    time.Time
	events   []happened
	expected []string // alerts

	ask context.CancelFunc
	wg  sync.WaitGroup
}

// happened is something that may explain what a panel shows.
type happened struct {
	at   time.Time
	what string
}

// How long it takes until the next thing happens: long enough to be seen in a rate, and in a picture.
const (
	briefPace   = 2 * time.Second
	picturePace = 11 * time.Second
)

// monitoredBlocks are one that is read from Endpoints, and has a snapshot; one of many clusters, of pods; and one that
// CoreDNS may not read.
const monitoredBlocks = `longnames shop.erl.internal 10.0.0.0/8 {
	service_account %[1]s
	namespaces %[2]s
	selector app=shop
	basename shop
	fallthrough 10.in-addr.arpa
	snapshot %[5]s/shop.json
	startup_timeout 1s
}
longnames apps.erl.internal {
	service_account %[1]s
	namespaces %[3]s
	lookup pods
	group_by app
	mode hostname
	port dist
	startup_timeout 1s
}
longnames secret.erl.internal {
	service_account %[1]s
	namespaces %[4]s
	selector app=secret
	basename secret
	startup_timeout 1s
}
whoami
`

func newMonitored(t *trial) *monitored {
	m := &monitored{stage: &stage{trial: t, plan: &plan{}}, pace: briefPace}
	if t.picture != "" {
		m.pace = picturePace
	}
	t.must(batch(t.ctx, in(t.plane.name, "addr replace "+apiSide+"/16 dev br0", "addr replace 10.255.255.254/8 dev br0")...))
	m.a, m.b = m.newReplica("a", 0), m.newReplica("b", 1)
	m.prometheus = t.newPrometheus(t.rulesFile("rules.yaml"), net.JoinHostPort(m.a.address, "9153"), net.JoinHostPort(m.b.address, "9153"))
	m.proxy = m.newWire()
	m.intercept = m.newIntercept()
	m.shop, m.apps, m.secret = t.namespace("shop", podPolicy{}), t.namespace("apps", podPolicy{}), t.namespace("secret", podPolicy{})
	t.account(m.shop)
	t.grant(m.shop, m.shop, endpointSlices)
	t.grant(m.shop, m.apps, pods)
	t.service(m.shop, "shop")
	t.deployment(m.shop, 5)
	m.carts()
	for i := range 2 {
		t.pod(m.apps, "mailer", fmt.Sprintf("mailer-%d", i), "", hosted("mailer"))
	}
	t.podsOf(m.shop, "shop", 5)
	t.podsOf(m.apps, "mailer", 2)
	t.service(m.secret, "secret")
	t.pod(m.secret, "secret", "secret-0", "")

	for _, r := range []*replica{m.a, m.b} {
		t.must(os.MkdirAll(r.dir(), 0o700))
		r.write(fmt.Sprintf(monitoredBlocks, t.server.account, m.shop, m.apps, m.secret, r.dir()))
		r.launch()
	}
	m.askAll()
	m.prometheus.reads(2)
	m.begin = time.Now()
	return m
}

// carts makes the cluster that is going to vanish.
func (m *monitored) carts() {
	for i := range 3 {
		m.pod(m.apps, "cart", fmt.Sprintf("cart-%d", i), "", hosted("cart"))
	}
	m.podsOf(m.apps, "cart", 3)
}

// monitoredQuestion is what is asked, and over what.
type monitoredQuestion struct{ network, name, qtype string }

// questions are of all types and have all results there are.
func (m *monitored) questions() []monitoredQuestion {
	cart := "cart." + m.apps + ".apps.erl.internal."
	pods := m.podsOf(m.shop, "shop", 5)
	var out []monitoredQuestion
	often := func(n int, network, name, qtype string) {
		for range n {
			out = append(out, monitoredQuestion{network, name, qtype})
		}
	}
	often(12, "udp", "shop.erl.internal.", "A")
	often(8, "udp", "shop.erl.internal.", "AAAA") // no data
	often(10, "udp", cart, "SRV")
	often(6, "udp", cart, "TXT")
	often(4, "tcp", cart, "SRV")
	often(2, "udp", reverse(m.trial, pods[0].Status.PodIP), "PTR")
	often(2, "udp", "1.0.0.10.in-addr.arpa.", "PTR") // falls through
	often(1, "udp", "shop.erl.internal.", "SOA")
	often(1, "udp", "shop.erl.internal.", "NS")
	often(1, "udp", "shop.erl.internal.", "ANY")
	often(1, "udp", "shop.erl.internal.", "MX")
	often(1, "tcp", "shop.erl.internal.", "AXFR") // refused
	often(3, "udp", "nobody.shop.erl.internal.", "A")
	often(2, "udp", "secret.erl.internal.", "A") // fails
	return out
}

// askAll asks both all the time, in no order; what they answer is for other scenarios.
func (m *monitored) askAll() {
	questions := m.questions()
	ctx, cancel := context.WithCancel(m.ctx)
	m.ask = cancel
	for _, r := range []*replica{m.a, m.b} {
		m.wg.Go(func() {
			for ctx.Err() == nil {
				q := questions[rand.IntN(len(questions))] //nolint:gosec // it is no secret
				m.askFor(ctx, r, q)
				select {
				case <-ctx.Done():
				case <-time.After(watchPause):
				}
			}
		})
	}
	m.cleanup(func() {
		cancel()
		m.wg.Wait()
	})
}

func (m *monitored) askFor(ctx context.Context, r *replica, q monitoredQuestion) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	raw, err := m.plane.dial(ctx, q.network, net.JoinHostPort(r.address, "53"))
	if err != nil {
		return // it may be away
	}
	conn := &dns.Conn{Conn: raw}
	defer conn.Close()
	client := dns.Client{Net: q.network, Timeout: time.Second}
	_, _, _ = client.ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(q.name, dns.StringToType[q.qtype]), conn)
}

// happens has something happen, and time pass.
func (m *monitored) happens(what string, how func()) {
	m.events = append(m.events, happened{time.Now(), what})
	m.note("%s", what)
	how()
	m.lasts(m.pace)
}

// gone is an event of a watch whose version the API server does not have any more.
const gone = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}}` + "\n"

// portless has a pod declare no ports.
func portless(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil }

// sees waits until Prometheus has seen so much of an expression.
func (m *monitored) sees(n int, expr string) {
	m.within(2*patience, "Prometheus sees "+expr, func() error {
		found, err := m.prometheus.query(expr)
		if err == nil && len(found) < n {
			err = fmt.Errorf("%d of %d series", len(found), n)
		}
		return err
	})
}

// unread are the alerts for the block that may not be read.
var unread = []string{
	"LongnamesAPIRequestsFailing warning secret.erl.internal.",
	"LongnamesMembersUnknown critical secret.erl.internal.",
	"LongnamesNoMembersKnown warning secret.erl.internal.",
	"LongnamesNoMembersKnown critical secret.erl.internal.",
}

// quiet is what happens in a cluster where all is well, but for the block that may not be read: nothing to alert for.
func (m *monitored) quiet() {
	m.lasts(m.pace)
	m.happens("three nodes more", func() {
		m.scale("deployments", m.shop, 8)
		m.podsOf(m.shop, "shop", 8)
	})
	m.happens("a rolling update", func() {
		_, err := m.client.AppsV1().Deployments(m.shop).Patch(m.ctx, "shop", "application/merge-patch+json",
			[]byte(`{"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`), metav1.PatchOptions{})
		m.must(err)
		m.soon("all pods are new", func() error { return m.updated() })
	})
	m.happens("one node is not ready now and then", func() {
		unsteady := m.podsOf(m.shop, "shop", 8)[0]
		for range max(1, m.pace/unsteadyPause) {
			for _, ready := range []bool{false, true} {
				m.must(setReady(m.ctx, m.client, m.shop, unsteady.Name, ready))
				m.lasts(unsteadyPause)
			}
		}
		m.sees(1, "sum(rate(coredns_longnames_propagation_duration_seconds_count[1m])) > 0")
	})
	m.judgeAlerts("as long as all is well", unread...)
}

// unsteadyPause is how long it takes a probe to change its mind.
const unsteadyPause = 2 * scrapeEvery

// updated is an error until all pods are of the new template.
func (m *monitored) updated() error {
	list, err := m.client.CoreV1().Pods(m.shop).List(m.ctx, metav1.ListOptions{LabelSelector: "app=shop"})
	if err != nil {
		return err
	}
	if len(list.Items) != 8 {
		return fmt.Errorf("%d pods", len(list.Items))
	}
	for _, p := range list.Items {
		if p.Annotations["version"] != "2" {
			return fmt.Errorf("%s is old", p.Name)
		}
	}
	return nil
}

// happen is all the rest.
func (m *monitored) happen() {
	m.expected = append(m.expected, unread...)
	m.happens("a pod without hostname, one without port", func() {
		m.pod(m.apps, "mailer", "mailer-lost", "")
		m.pod(m.apps, "mailer", "mailer-portless", "", hosted("mailer"), portless)
	})
	m.expects("LongnamesMembersLeftOut warning apps.erl.internal.", "LongnamesMembersWithoutPort warning apps.erl.internal.")
	m.happens("the API server says that a version is gone", func() { m.spoil("expired", gone) })
	m.away()
	if m.picture != "" { // there is time for more
		m.happens("the API server answers 500", func() {
			told := m.intercept.refuse(http.StatusInternalServerError)
			m.soon("each block of each replica is told so", func() error { return atLeastSo(float64(told.Load()), 6) })
		})
		m.happens("it brings junk", func() {
			m.intercept.answers(nil)
			m.spoil("invalid", "junk\n")
		})
	}
	m.happens("no room for a snapshot", func() {
		m.must(os.Rename(m.a.dir(), m.a.dir()+"-away"))
		m.scale("deployments", m.shop, 6)
		m.podsOf(m.shop, "shop", 6)
		// The pause after a write is twenty times as long as that took, on a slow disk.
		m.within(2*time.Minute, "writing has failed more than once", m.failed)
	})
	m.happens("room again", func() { m.must(os.Rename(m.a.dir()+"-away", m.a.dir())) })
	m.happens("all nodes of a cluster vanish", func() {
		m.many(3, func(i int) { m.deletePod(m.apps, fmt.Sprintf("cart-%d", i)) })
		m.sees(2, "coredns_longnames_held_clusters > 0")
	})
	m.expects("LongnamesClusterHeld warning apps.erl.internal.")
	m.happens("they are back", func() {
		m.podsOf(m.apps, "cart", 0)
		m.carts()
		m.sees(2, `coredns_longnames_held_clusters{zone="apps.erl.internal."} == 0`)
	})
	m.happens("probes of two nodes fail, and recover", func() {
		const doubted = `coredns_longnames_doubted_clusters{zone="shop.erl.internal."}`
		weak := m.podsOf(m.shop, "shop", 6)[:2]
		for _, ready := range []bool{false, true} {
			for i := range weak {
				m.must(setReady(m.ctx, m.client, m.shop, weak[i].Name, ready))
			}
			if !ready {
				m.sees(2, doubted+" == 1")
			}
		}
		m.sees(2, doubted+" == 0")
	})
	m.happens("two of three nodes of a cluster vanish", func() {
		m.many(2, func(i int) { m.deletePod(m.apps, fmt.Sprintf("cart-%d", i)) })
		m.sees(2, `increase(coredns_longnames_cluster_falls_total{zone="apps.erl.internal."}[1m]) > 0`)
	})
	m.expects("LongnamesClusterFell warning apps.erl.internal.")
}

// spoil sends a line over watches until those of a have ended for that reason, in both zones that can be read.
func (m *monitored) spoil(reason, line string) {
	m.within(2*patience, "a's watches have ended as "+reason, func() error {
		m.intercept.send(m.shop, line)
		m.intercept.send(m.apps, line)
		for _, zone := range []string{"shop", "apps"} {
			n, err := m.a.metric("coredns_longnames_watch_restarts_total", fmt.Sprintf("reason=%q", reason), fmt.Sprintf(`zone="%s.erl.internal."`, zone))
			if err := cmp.Or(err, atLeastSo(n, 1)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *monitored) expects(alerts ...string) { m.expected = append(m.expected, alerts...) }

// away has no API server for a while, in which one CoreDNS starts from its snapshot.
func (m *monitored) away() {
	m.happens("no connection to the API server", func() {
		m.proxy.now(wireFault{cut: true})
		m.scale("deployments", m.shop, 10)
	})
	m.happens("b is killed, and starts from its snapshot", func() {
		m.b.kill()
		m.b.launch()
		m.sees(1, `rate(coredns_longnames_stale_answers_total[1m]) > 0`)
		m.sees(1, `coredns_longnames_members{zone="apps.erl.internal."} == 0`)
		m.sees(2, `sum by (zone) (rate(coredns_longnames_questions_total{result="servfail", zone!="secret.erl.internal."}[1m])) > 0`)
		m.sees(2, `sum by (zone) (rate(coredns_longnames_api_requests_total{code="error", zone!="secret.erl.internal."}[1m])) > 0`)
	})
	m.happens("a connection again", func() {
		m.proxy.now(wireFault{})
		for _, r := range []*replica{m.a, m.b} {
			m.within(2*patience, r.name+" has all members", func() error {
				n, err := r.metric("coredns_longnames_members", `zone="shop.erl.internal."`)
				return cmp.Or(err, equally(n, 10))
			})
		}
	})
	m.expects("LongnamesAPIRequestsFailing warning shop.erl.internal.", "LongnamesAPIRequestsFailing warning apps.erl.internal.",
		"LongnamesStaleAnswers warning shop.erl.internal.",
		"LongnamesMembersUnknown critical apps.erl.internal.", "LongnamesMembersUnknown critical shop.erl.internal.",
		"LongnamesMembersFell critical apps.erl.internal.", "LongnamesNoMembersKnown warning apps.erl.internal.")
}

// failed is an error until a snapshot could not be written twice.
func (m *monitored) failed() error {
	n, err := m.a.metric("coredns_longnames_snapshot_failures_total")
	return cmp.Or(err, atLeastSo(n, 3))
}

func atLeastSo(got, want float64) error {
	if got < want {
		return fmt.Errorf("got %v, want %v or more", got, want)
	}
	return nil
}

func equally(got, want float64) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// stop ends the servers in good order, and looks into their logs.
func (m *monitored) stop() {
	m.ask()
	m.wg.Wait()
	for _, r := range []*replica{m.a, m.b} {
		m.must(r.process.ended())
		r.process.stop(endTime)
		if found := panicked.FindString(r.process.output()); found != "" {
			m.failf("%s has logged %s", r.name, found)
		}
	}
	_ = os.RemoveAll(filepath.Join(m.dir, "a"))
	_ = os.RemoveAll(filepath.Join(m.dir, "b"))
}
