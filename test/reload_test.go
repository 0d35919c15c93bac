package test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

func TestReload(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, ""))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")

	next, err := s.instance.Restart(servertest.Input(corefile(api, "mode dns")))
	if err != nil {
		t.Fatal(err)
	}
	s.use(next)
	s.wants("erl.internal.", "TXT", "app@10-0-0-1.prod.pod.cluster.local")

	kept, err := s.instance.Restart(servertest.Input(corefile(api, "mode none")))
	if err == nil || !strings.Contains(err.Error(), "mode") {
		t.Errorf("a bad option: got error %v, want one that names it", err)
	}
	s.use(kept)
	s.wants("erl.internal.", "TXT", "app@10-0-0-1.prod.pod.cluster.local")
	api.WaitForWatches(1)
}

func TestReloadGoesOnWithTheSameWatch(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, ""))
	api.WaitForWatches(1)
	before := len(api.Requests())
	serial := s.serial()

	for i := range 3 {
		next, err := s.instance.Restart(servertest.Input(corefile(api, fmt.Sprintf("hold %ds", i))))
		if err != nil {
			t.Fatal(err)
		}
		s.use(next)
	}
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	if got := s.serial(); got < serial {
		t.Errorf("serial: got %d, want no less than %d", got, serial)
	}
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
	if got := api.Requests(); len(got) != before {
		t.Errorf("got requests %v, want none since the first %d", got[before:], before)
	}
}

func (s *server) serial() uint32 {
	s.tb.Helper()
	return s.query("udp", "erl.internal.", "SOA", 0).Answer[0].(*dns.SOA).Serial
}

// Without the API server, nobody can tell what a reload changes: what was known holds.
func TestReloadWhileTheAPIServerIsAway(t *testing.T) {
	for _, tc := range []struct {
		name, after        string // more options
		then, whenItIsBack []string
	}{
		{
			name: "the same watch", after: "mode dns",
			then:         []string{"app@10-0-0-1.prod.pod.cluster.local"},
			whenItIsBack: []string{"app@10-0-0-1.prod.pod.cluster.local", "app@10-0-0-2.prod.pod.cluster.local"},
		},
		{
			name: "another watch", after: "cached\nttl 3",
			then:         []string{"app@10.0.0.1"},
			whenItIsBack: []string{"app@10.0.0.1", "app@10.0.0.2"},
		},
		{
			name: "one family", after: "family ipv4",
			then:         []string{"app@10.0.0.1"},
			whenItIsBack: []string{"app@10.0.0.1", "app@10.0.0.2"},
		},
		{
			name: "another kind of object", after: "lookup pods",
			then: []string{"app@10.0.0.1"}, whenItIsBack: []string{"app@10.0.0.7"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true)), pod("web-7", "10.0.0.7"))
			s := start(t, corefile(api, ""))
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
			api.Stop()
			next, err := s.instance.Restart(servertest.Input(corefile(api, "startup_timeout 100ms\n"+tc.after)))
			if err != nil {
				t.Fatal(err)
			}
			s.use(next)
			s.wants("erl.internal.", "TXT", tc.then...)
			api.Start()
			api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
			s.soon("erl.internal.", "TXT", tc.whenItIsBack...)
			api.WaitForWatches(1)
		})
	}
}

func TestReloadOfTwoBlocksOfAZoneWhileTheAPIServerIsAway(t *testing.T) {
	api := fakeapi.New(t)
	for i, app := range []string{"shop", "chat"} {
		object := slice(endpoint(app, fmt.Sprintf("10.0.0.%d", i+1), true))
		object.Name, object.Labels = app, map[string]string{"app": app, "tier": app}
		api.Put(object)
	}
	text := func(more string) string {
		block := `longnames erl.internal {
			endpoint ` + api.URL + `
			namespaces prod
			selector tier=%s
			group_by app
			fallthrough
			startup_timeout 100ms
			` + more + `
		}
		`
		return ".:0 {\n" + fmt.Sprintf(block, "shop") + fmt.Sprintf(block, "chat") + "}"
	}
	s := start(t, text(""))
	check := func() {
		t.Helper()
		s.soon("shop.prod.erl.internal.", "TXT", "shop@10.0.0.1")
		s.soon("chat.prod.erl.internal.", "TXT", "chat@10.0.0.2")
	}
	check()
	api.Stop()
	next, err := s.instance.Restart(servertest.Input(text("cached")))
	if err != nil {
		t.Fatal(err)
	}
	s.use(next)
	check()
}

// Each block goes on from the one of its own API server, whatever their order.
func TestReloadThatAddsAnAPIServerWhileAnotherOneIsAway(t *testing.T) {
	var apis [3]*fakeapi.Server
	for i := range apis {
		apis[i] = fakeapi.New(t)
		object := slice(endpoint(fmt.Sprint("web-", i), fmt.Sprintf("10.0.0.%d", i), true))
		object.Labels = map[string]string{"app": "web"}
		apis[i].Put(object)
	}
	text := func(more string, apis ...*fakeapi.Server) string {
		blocks := ""
		for _, api := range apis {
			blocks += "longnames erl.internal {\nendpoint " + api.URL + "\nnamespaces prod\nselector app=web\nbasename web\nhold 0\nstartup_timeout 1s\n" + more + "\n}\n"
		}
		return ".:0 {\n" + blocks + "}"
	}
	s := start(t, text("", apis[0], apis[1]))
	s.soon("erl.internal.", "TXT", "web@10.0.0.0", "web@10.0.0.1")
	apis[0].Stop()
	for _, order := range [][]*fakeapi.Server{{apis[2], apis[0], apis[1]}, {apis[1], apis[2], apis[0]}} {
		next, err := s.instance.Restart(servertest.Input(text("cached", order...)))
		if err != nil {
			t.Fatal(err)
		}
		s.use(next)
		s.soon("erl.internal.", "TXT", "web@10.0.0.0", "web@10.0.0.1", "web@10.0.0.2")
	}
}

// Without the API server, the new members are unknown: those that were listed last stay for a while, and nobody is ever
// told that there are no members.
func TestReloadToUnknownMembersWhileTheAPIServerIsAway(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, ""))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	api.Stop()
	elsewhere := strings.Replace(corefile(api, "startup_timeout 1ms\nhold 2s"), "namespaces prod", "namespaces test", 1)
	next, err := s.instance.Restart(servertest.Input(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	s.use(next)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	eventually(t, "they are given up", func() bool { return s.rcode("erl.internal.", "TXT") == "SERVFAIL" })
}

// freePort is a port that nobody listens on, over UDP and TCP.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// asker asks all the time, as a client does: three tries for each question.
type asker struct {
	mu    sync.Mutex
	asked int
	wrong []string

	stop chan struct{}
	wg   sync.WaitGroup
}

// askAllTheTime begins to ask who is in a cluster, which is one of some sets.
func askAllTheTime(address, name string, wants ...[]string) *asker {
	a := &asker{stop: make(chan struct{})}
	for range 4 {
		a.wg.Go(func() {
			for {
				select {
				case <-a.stop:
					return
				default:
					a.ask(address, name, wants)
				}
			}
		})
	}
	return a
}

func (a *asker) ask(address, name string, wants [][]string) {
	client := dns.Client{Timeout: 2 * time.Second}
	var reply *dns.Msg
	var err error
	for range 3 {
		if reply, _, err = client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeTXT), address); err == nil {
			break
		}
	}
	got := fmt.Sprint(err)
	if err == nil {
		got = fmt.Sprint(dns.RcodeToString[reply.Rcode], data(reply.Answer))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if err != nil || !slices.ContainsFunc(wants, func(want []string) bool { return slices.Equal(data(reply.Answer), want) }) {
		a.wrong = append(a.wrong, got)
	}
}

func (a *asker) done(t *testing.T) {
	t.Helper()
	close(a.stop)
	a.wg.Wait()
	t.Logf("%d questions", a.asked)
	if a.asked == 0 {
		t.Error("got no question at all")
	}
	if len(a.wrong) > 0 {
		t.Errorf("got %d wrong answers of %d, the first %s", len(a.wrong), a.asked, a.wrong[0])
	}
}

func TestHundredReloadsGoodAndBad(t *testing.T) {
	before := goleak.IgnoreCurrent()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, _ := net.SplitHostPort(taken.Addr().String())
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	port := freePort(t)
	on := func(port, more string) string {
		return strings.Replace(corefile(api, more), ".:0 {", ".:"+port+" {\nbind 127.0.0.1\n", 1)
	}
	// Not start: this one is to be stopped before the leaks are looked for.
	s := &server{tb: t}
	s.use(servertest.Start(t, on(port, "")))
	asker := askAllTheTime("127.0.0.1:"+port, "erl.internal.", []string{"app@10.0.0.1", "app@10.0.0.2"})
	for i := range 100 {
		text, bad := on(port, fmt.Sprint("ttl ", i)), true
		switch i % 4 {
		case 1:
			text = on(port, "ttl none")
		case 3:
			text = on(port, "") + "\n" + on(takenPort, "")
		default:
			bad = false
		}
		next, err := s.instance.Restart(servertest.Input(text))
		if bad != (err != nil) {
			t.Fatalf("reload %d: got error %v, want one: %t", i, err, bad)
		}
		s.use(next)
	}
	asker.done(t)
	api.WaitForWatches(1)
	servertest.Stop(t, s.instance)
	api.Stop()
	goleak.VerifyNone(t, before)
}

// A block that cannot be read must not take the others out of service, either by the probe of
// readiness or by standing before them.
func TestReloadThatAddsWhatCannotBeRead(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	health := freeAddress(t)
	block := func(zone, namespace, more string) string {
		return fmt.Sprintf("\nlongnames %s {\nendpoint %s\nnamespaces %s\ngroup_by app\nstartup_timeout 100ms\n%s\n}", zone, api.URL, namespace, more)
	}
	known := block("erl.internal", "prod", "")
	s := start(t, ".:0 {\nready "+health+known+"\n}")
	s.wants("web.prod.erl.internal.", "TXT", "web@10.0.0.1")
	if got := status(t, health); got != http.StatusOK {
		t.Fatalf("ready: got %d, want 200", got)
	}
	api.Fail(http.StatusForbidden, metav1.StatusReasonForbidden, "no")
	for _, more := range []string{block("other.internal", "test", ""), block("erl.internal", "test", "")} {
		next, err := s.instance.Restart(servertest.Input(".:0 {\nready " + health + more + known + "\n}"))
		if err != nil {
			t.Fatal(err)
		}
		s.use(next)
		s.wants("web.prod.erl.internal.", "TXT", "web@10.0.0.1")
		if got := status(t, health); got != http.StatusOK {
			t.Errorf("ready, after %s: got %d, want 200", more, got)
		}
	}
}
