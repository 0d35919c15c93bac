package faults

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// wireRows: what can become of a connection.
func wireRows() []row {
	return []row{
		{name: "connection-cut", struck: []string{"unreachable"}, what: "connections to the API server are cut, and new ones too", try: func(s *stage) {
			s.through(s.wire.down, s.wire.up)
		}},
		{name: "api-slow", struck: []string{"unreachable", "closed"}, what: "all that goes to or comes from the API server takes 5 s longer, also new connections", try: func(s *stage) {
			s.through(func() {
				s.wire.toxic("latency", map[string]int{"latency": 5000})
				s.wire.cut()
			}, s.wire.heal)
		}},
		{name: "api-trickles", struck: []string{"unreachable", "closed"}, what: "1 KB a second is all that comes through, also on new connections", try: func(s *stage) {
			s.through(func() {
				s.wire.toxic("bandwidth", map[string]int{"rate": 1})
				s.wire.cut()
			}, s.wire.heal)
		}},
		{name: "packets-lost", what: "all packets between CoreDNS and the API server are lost, and then come through again", try: func(s *stage) {
			s.through(s.wire.lose, s.wire.heal)
		}},
	}
}

// silence is how long it may take until it is noticed that a watch has fallen silent, with some time to do better.
const silence = 150*time.Second + 3*patience

// halfOpenRows: a connection of which one end knows nothing of the other's end, as when a NAT gateway has lost it.
func halfOpenRows(protocol string) []row {
	return []row{{
		name: "half-open", struck: []string{"silent", "unreachable"},
		what: "all packets of the connection to the API server are lost for good, which nobody is told; new ones can be made (" + protocol + ")",
		try: func(s *stage) {
			s.wire.forget()
			s.grow()
			s.seen(silence)
			s.shrinks()
		},
	}}
}

// httpRows: what an API server can answer.
func httpRows() []row {
	return []row{
		{name: "429", struck: []string{"throttled"}, what: "the API server answers 429 to everything, and ends all watches", try: func(s *stage) { s.refuses(http.StatusTooManyRequests) }},
		{name: "500", struck: []string{"server"}, what: "the API server answers 500 to everything, and ends all watches", try: func(s *stage) { s.refuses(http.StatusInternalServerError) }},
		{name: "watch-junk", struck: []string{"invalid"}, what: "watches bring junk, half an object, an unknown event, errors, and events of what was never there", try: junk},
		{name: "watch-order", what: "watches bring events twice, and old ones after new ones", try: disorder},
	}
}

// The watches of the clusters of ours.
const (
	slicesPath = "/namespaces/" + ourNamespace + "/endpointslices"
	podsPath   = "/namespaces/" + ourNamespace + "/pods"
)

func (s *stage) refuses(code int) {
	i := s.newIntercept()
	s.of(i, slicesPath)
	s.of(i, podsPath)
	s.through(func() { i.refuse(code) }, func() {
		if i.refuse(0) == 0 {
			s.Fatalf("nobody was told %d", code)
		}
	})
}

// Objects that nobody knows, and that would be of a cluster if they were there.
const (
	unseenMeta  = `"metadata":{"name":"nobody","namespace":"` + ourNamespace + `","uid":"nobody","resourceVersion":"1","labels":{"app":%[1]q,"kubernetes.io/service-name":%[1]q}}`
	unseenPod   = `{"type":"DELETED","object":{"kind":"Pod","apiVersion":"v1",` + unseenMeta + `,"status":{"phase":"Running","podIP":"10.0.0.9","podIPs":[{"ip":"10.0.0.9"}]}}}` + "\n"
	unseenSlice = `{"type":"DELETED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",` + unseenMeta + `,"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.9"]}]}}` + "\n"
)

func junk(s *stage) {
	i := s.newIntercept()
	say := func(toSlices, toPods string) {
		for path, line := range map[string]string{slicesPath: toSlices, podsPath: toPods} {
			for _, on := range s.of(i, path) {
				_, _ = io.WriteString(on, line) // it may just have ended
			}
		}
		time.Sleep(faultTime / 12)
	}
	for _, line := range []string{
		"\x00\xffjunk\n",
		`{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"ca`,
		`{"type":"EXPLODED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"x","resourceVersion":"1"}}}` + "\n",
		`{"type":"MODIFIED","object":{"kind":"Junk","apiVersion":"junk/v1","metadata":{"name":"x"}}}` + "\n",
		`{"type":"MODIFIED","object":null}` + "\n",
		`{}` + "\n",
		`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"a fault","reason":"InternalError","code":500}}` + "\n",
		`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}}` + "\n",
		`{"type":"ERROR","object":null}` + "\n",
	} {
		say(line, line)
	}
	say(fmt.Sprintf(unseenSlice, "shop"), fmt.Sprintf(unseenPod, "cart"))
	say(strings.Repeat(" ", 1<<20)+"\n", strings.Repeat(" ", 1<<20)+"\n")
	i.refuse(0)
	s.grow()
	s.shrinks()
}

// disorder sends every event twice, and then, while nothing else happens, old ones once more.
func disorder(s *stage) {
	i := s.newIntercept()
	var again []func()
	i.events(func(on *stream, line string) string {
		if strings.HasPrefix(line, `{"type":"BOOKMARK"`) {
			return line
		}
		again = append(again, func() { _, _ = io.WriteString(on, line) })
		return line + line
	})
	s.of(i, slicesPath)
	s.of(i, podsPath)
	s.grow()
	s.shrinks()
	i.events(nil)
	if len(again) == 0 {
		s.Fatal("no event came twice")
	}
	for _, send := range again {
		send()
	}
	time.Sleep(faultTime)
}

// rightsRows: the API server does not let CoreDNS in any more.
func rightsRows() []row {
	return []row{
		{name: "403", struck: []string{"forbidden"}, what: "CoreDNS loses its role, and gets it back", try: func(s *stage) {
			s.through(func() {
				s.Kubectl(s, "delete", "clusterrolebinding,clusterrole", "coredns")
				s.refused(apierrors.IsForbidden)
				s.wire.cut()
			}, s.authorize)
		}},
		{name: "401", struck: []string{"unauthorized"}, what: "CoreDNS' token is revoked with its service account, and a new one is written", try: func(s *stage) {
			s.through(func() {
				s.Kubectl(s, "delete", "serviceaccount", "coredns", "--namespace", ourNamespace)
				s.refused(apierrors.IsUnauthorized)
				s.wire.cut()
			}, func() { s.Account(s, ourNamespace, "coredns", s.account) })
		}},
	}
}

// refused waits until CoreDNS would be.
func (s *stage) refused(how func(error) bool) {
	config := rest.AnonymousClientConfig(s.Config)
	config.Dial, config.BearerTokenFile = s.Config.Dial, s.account+"/token"
	client, err := kubernetes.NewForConfig(config)
	s.must(err)
	s.within(patience, "CoreDNS is refused", func() error {
		if _, err := client.CoreV1().Pods(ourNamespace).List(s.Context(), metav1.ListOptions{Limit: 1}); !how(err) {
			return fmt.Errorf("it gets %w", err)
		}
		return nil
	})
}
