package process

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// olderPort is where an API server listens that cannot stream lists: that of Kubernetes 1.33 could not by default, and
// older ones could not at all. It serves the same objects as the other.
const olderPort = "6444"

func startOlder(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	c.Add(t, "kube-apiserver", "kube-apiserver-older", "--secure-port="+olderPort, "--feature-gates=WatchList=false", "--endpoint-reconciler-type=none")
	config := rest.CopyConfig(c.Config)
	config.Host = "https://" + apiHost + ":" + olderPort
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	soon(t, "the older API server is ready", func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error()
	})
}

// enoughRights has those that the README prints be enough, for one namespace or for all.
func enoughRights(t *testing.T, b *bed, of resources, everywhere bool) {
	b.open(t, of, listWatch)
	home, more, members, namespaces := b.namespace(t, "home"), b.namespace(t, "test"), 1, b.prod
	b.Account(t, home, "coredns", b.account)
	if everywhere {
		b.grant(t, home, "", of, listWatch)
		members, namespaces = 2, "*"
	} else {
		b.grant(t, home, b.prod, of, listWatch)
	}
	for i, ns := range []string{b.prod, more} {
		b.service(t, ns, b.name, b.name, "http:4000") // others have pods that are called shop, too
		b.pod(t, ns, b.name, shopName(0), 10+i)
	}
	s := b.serve(t, strings.Replace(b.block("shop.erl.internal", "lookup "+of.lookup, "namespaces "+namespaces), "app=shop", "app="+b.name, 1))
	s.wantsShop(b.some(10, 10+members))
}

// forbidden is what CoreDNS logs of a right that is missing in its own namespace: what to grant, and what the API server says.
func forbidden(of resources, namespace, verb string) string {
	return fmt.Sprintf(`[ERROR] plugin/longnames: shop.erl.internal. API server forbids to %s %s in namespace %q: `+
		`grant the verb %[1]q on the resource %[2]q there with a Role or ClusterRole: %[2]s is forbidden: `+
		`User "system:serviceaccount:%[3]s:coredns" cannot %[1]s resource %[4]q in API group %[5]q in the namespace %[3]q; what is known stays in use`,
		verb, strings.TrimSuffix(of.name+"."+of.group, "."), namespace, of.name, of.group)
}

// forbids waits until the lines about rights that are missing are exactly these, each logged once.
func (s *server) forbids(want ...string) {
	s.t.Helper()
	for _, line := range want {
		s.may("^" + regexp.QuoteMeta(line))
	}
	soon(s.t, "CoreDNS logs which rights are missing", func() error {
		got := regexp.MustCompile(`(?m)^.*plugin/longnames.*forbid.*$`).FindAllString(s.process.Output(), -1)
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

// granted is the line that nothing is missing any more.
const granted = `(?m)^\[INFO\] plugin/longnames: shop\.erl\.internal\. API server grants access again after \d+(m\d+)?s$`

// missingRight lacks a verb at start, and gets it as the log says.
func missingRight(t *testing.T, b *bed, of resources, verb string) {
	b.open(t, of, strings.Trim(strings.Replace(listWatch, verb, "", 1), ", "))
	b.shop(t, 0, 1)
	b.endpoints(t, 1)
	s := b.server(t, 0, b.block("shop.erl.internal", "hold 0", "lookup "+of.lookup, "startup_timeout 1s"))
	if verb == "list" {
		b.older() // a list can also be streamed, for which the right to watch is enough
		s.apiPort = olderPort
	}
	v := s.vigil(b.some(10, 11))
	s.start()
	missing := forbidden(of, b.prod, verb)
	s.forbids(missing)
	if verb == "list" {
		for _, qtype := range []string{"SRV", "TXT", "A", "AAAA"} {
			if m := s.rcode("shop.erl.internal", qtype, dns.RcodeServerFailure); !strings.Contains(m.String(), "EDE: 14 (Not Ready)") {
				t.Errorf("got %s, want the extended error Not Ready", m)
			}
		}
		if s.ready() == nil {
			t.Error("ready without any members known")
		}
	} else { // the list has the members once
		s.wants("shop.erl.internal", "A", b.address(10))
	}
	asked := regexp.MustCompile(`in namespace "([^"]+)": grant the verb "([^"]+)" on the resource "([^"]+)" there with a Role`).FindStringSubmatch(missing)
	b.Kubectl(t, "-n", asked[1], "create", "role", "asked", "--verb", asked[2], "--resource", asked[3])
	b.Kubectl(t, "-n", asked[1], "create", "rolebinding", "asked", "--role=asked", "--serviceaccount="+b.prod+":coredns")
	s.wantsShop(b.some(10, 11))
	s.logs(granted)
	must(t, s.ready())
	v.then(b.some(10, 12))
	b.shop(t, 1, 2)
	s.wantsShop(b.some(10, 12))
	v.sees(1)
	s.forbids(missing)
}

// withdrawnRights has CoreDNS get a new token, as a kubelet gives it one, while the old one becomes invalid; and then lose
// its rights while it runs. Either is seen when a watch has to be made anew.
func withdrawnRights(t *testing.T, b *bed) {
	b.open(t, endpointSlices, listWatch)
	b.shop(t, 0, 3)
	rotate := func(secret string) (token string) {
		s, err := b.Client.CoreV1().Secrets(b.prod).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}}, metav1.CreateOptions{})
		must(t, err)
		token = b.Token(t, b.prod, "coredns", &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret, UID: s.UID})
		must(t, os.Rename(write(t, b.account+"/.token", token), b.account+"/token"))
		return token
	}
	// may waits until somebody with a token may list, or may not.
	may := func(token string, want bool) {
		t.Helper()
		config := rest.AnonymousClientConfig(b.Config)
		config.BearerToken = token
		client, err := kubernetes.NewForConfig(config)
		must(t, err)
		soon(t, "the rights have changed", func() error {
			_, err := client.DiscoveryV1().EndpointSlices(b.prod).List(t.Context(), metav1.ListOptions{})
			if (err == nil) == want {
				return nil
			}
			return fmt.Errorf("may list: %t", !want)
		})
	}
	first := rotate("first")
	s := b.serve(t, b.block("shop.erl.internal", "hold 0"))
	s.wantsShop(b.some(10, 13))
	v := s.vigil(b.some(10, 13))

	second := rotate("second")
	may(second, true)
	b.Kubectl(t, "-n", b.prod, "delete", "secret", "first")
	may(first, false)
	s.may(`API server answers 401 Unauthorized: `)
	s.cut()
	v.then(b.some(10, 14))
	b.shop(t, 3, 4)
	v.sees(1)

	b.Kubectl(t, "-n", b.prod, "delete", "rolebinding", "--all")
	may(second, false)
	s.cut()
	lost := []string{forbidden(endpointSlices, b.prod, "list"), forbidden(endpointSlices, b.prod, "watch")}
	s.forbids(lost...)
	b.shop(t, 4, 5)
	b.endpoints(t, 5)
	v.sees(100)
	v.then(b.some(10, 15))
	b.grant(t, b.prod, b.prod, endpointSlices, listWatch)
	s.wantsShop(b.some(10, 15))
	s.logs(granted)
	v.sees(1)
	s.forbids(lost...)
}

// olderAPIServer has CoreDNS list and then watch.
func olderAPIServer(t *testing.T, b *bed, of resources, option string) {
	b.older()
	b.open(t, of, listWatch)
	b.shop(t, 0, 3)
	b.endpoints(t, 3)
	s := b.server(t, 0, b.block("shop.erl.internal", "hold 0", "lookup "+of.lookup, option))
	s.apiPort = olderPort
	v := s.vigil(b.some(10, 13))
	s.start()
	s.wantsShop(b.some(10, 13))
	s.counts(1, "api_requests_total", `verb="list"`, `code="200"`)
	v.then(b.some(10, 14))
	b.shop(t, 3, 4)
	s.wantsShop(b.some(10, 14))
	s.cut()
	v.then(b.some(10, 13))
	b.close(t, 3, 4)
	s.wantsShop(b.some(10, 13))
	v.sees(1)
}

// vigil asks for the members of shop.erl.internal until the test ends, and wants each answer to be exact. Until they are
// known for the first time it is SERVFAIL; from then on there are always members. Nothing else shows that a cluster was
// never torn apart, not even for a moment.
type vigil struct {
	*server
	mu          sync.Mutex // protects following
	sets        [][]string // of addresses: answers go from one to the next, and never back
	at          int        // the set that was seen last
	full, fails int        // answers with members, and SERVFAIL
}

// vigil may begin before CoreDNS does.
func (s *server) vigil(addresses []string) *vigil {
	v := &vigil{server: s, sets: [][]string{addresses}}
	ctx, done := s.t.Context(), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			network, qtype := []string{"udp", "tcp"}[i%2], []string{"SRV", "TXT", "A"}[i%3]
			m, err := s.ask(network, "shop.erl.internal", qtype, 0)
			if err = v.judge(m, err); err != nil && ctx.Err() == nil {
				s.t.Errorf("%s over %s was wrong in between: %v", qtype, network, err)
				return
			}
			time.Sleep(10 * time.Millisecond) // any node asks a hundred times less
		}
	}()
	s.t.Cleanup(func() { <-done })
	return v
}

// judge returns what is wrong with an answer, or with there being none.
func (v *vigil) judge(m *dns.Msg, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil && v.full+v.fails == 0: // it does not listen yet
		return nil
	case err != nil:
		return err
	case m.Rcode == dns.RcodeServerFailure && v.full == 0:
		v.fails++
		return nil
	}
	got := strings.ReplaceAll(strings.Join(data(m), " "), "shop@", "")
	for at := v.at; m.Rcode == dns.RcodeSuccess && at < len(v.sets); at++ {
		if got == strings.Join(slices.Sorted(slices.Values(v.sets[at])), " ") {
			v.at = at
			v.full++
			return nil
		}
	}
	return fmt.Errorf("got %s %s, want one of %q", dns.RcodeToString[m.Rcode], got, v.sets[v.at:])
}

// then has another set of members be right, too. It has to be told before it comes true.
func (v *vigil) then(addresses []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sets = append(v.sets, addresses)
}

// sees waits for so many more answers, and for the last set.
func (v *vigil) sees(n int) {
	v.t.Helper()
	v.mu.Lock()
	n += v.full
	v.mu.Unlock()
	soon(v.t, "answers are right", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.t.Failed() {
			v.t.FailNow()
		}
		if v.full < n || v.at < len(v.sets)-1 {
			return fmt.Errorf("%d answers were right so far, want %d, the last had set %d of %d", v.full, n, v.at+1, len(v.sets))
		}
		return nil
	})
}
