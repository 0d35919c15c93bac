package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// httpRows: what an API server can answer.
func httpRows() []row {
	return []row{
		{name: "fault-429", struck: []string{"throttled"}, what: "the API server answers 429 to everything, and ends all watches", try: func(s *stage) { statuses(s, http.StatusTooManyRequests) }},
		{name: "fault-500", struck: []string{"server"}, what: "the API server answers 500 to everything, and ends all watches", try: func(s *stage) { statuses(s, http.StatusInternalServerError) }},
		{name: "fault-watch-junk", struck: []string{"invalid"}, what: "watches bring junk, half an object, an unknown event, errors, and events of what was never there", try: junk},
		{name: "fault-watch-order", what: "watches bring events twice, and old ones after new ones", try: disorder},
	}
}

func statuses(s *stage, code int) {
	i := s.interceptWatches()
	var told *atomic.Int64
	s.through(func() { told = i.refuse(code) }, func() { i.answers(nil) })
	if told.Load() == 0 {
		s.failf("nobody was told %d", code)
	}
	s.proxy.lead(apiAddress)
}

// interceptWatches has those of ours go through an interceptor. Else a fault could be over before CoreDNS tries again: it
// has just lost its connection.
func (s *stage) interceptWatches() *intercept {
	i := s.newIntercept()
	ours := "/namespaces/" + s.ours
	s.within(2*patience, "CoreDNS watches through the interceptor", func() error { return i.watches(ours+"/endpointslices", ours+"/pods") })
	return i
}

// refuse answers all requests with a code, and ends all watches. It counts how many were told.
func (i *intercept) refuse(code int) *atomic.Int64 {
	var told atomic.Int64
	i.answers(func(w http.ResponseWriter, _ *http.Request) bool {
		told.Add(1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(code), code)
		return true
	})
	i.end()
	return &told
}

// watched are the parts of paths by which watches differ.
var watched = []string{"/endpointslices", "/pods"}

// say sends a line on all watches of the stage's resources.
func (s *stage) say(i *intercept, line func(kind string) string) {
	for _, part := range watched {
		s.within(2*patience, "there is a watch of "+part, func() error { return i.watches(part) })
		i.send(part, line(part))
	}
}

func junk(s *stage) {
	i := s.newIntercept()
	defer func() { s.proxy.lead(apiAddress) }()
	unseen := func(event string) func(kind string) string {
		return func(kind string) string { return s.unseen(kind, event) }
	}
	plain := func(line string) func(string) string { return func(string) string { return line } }
	for _, line := range []func(kind string) string{
		plain("\x00\xffjunk\n"),
		plain(`{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"ca`),
		plain(`{"type":"EXPLODED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"x","resourceVersion":"1"}}}` + "\n"),
		plain(`{"type":"MODIFIED","object":{"kind":"Junk","apiVersion":"junk/v1","metadata":{"name":"x"}}}` + "\n"),
		plain(`{"type":"MODIFIED","object":null}` + "\n"),
		plain(`{}` + "\n"),
		plain(`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"a fault","reason":"InternalError","code":500}}` + "\n"),
		plain(`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}}` + "\n"),
		plain(`{"type":"ERROR","object":null}` + "\n"),
		unseen("DELETED"),
		plain(strings.Repeat(" ", 1<<20) + "\n"),
	} {
		s.say(i, line)
		s.lasts(faultTime / 12)
	}
	i.end()
	s.grow()
	s.calm()
	s.shrink()
}

// unseen is an event of an object that nobody knows, and that would be of a cluster's if it were there.
func (s *stage) unseen(kind, event string) string {
	meta := fmt.Sprintf(`"metadata":{"name":"nobody","namespace":%q,"uid":"nobody","resourceVersion":"1","labels":{"app":%%q,"kubernetes.io/service-name":%%[1]q}}`, s.ours)
	if kind == "/pods" {
		return fmt.Sprintf(`{"type":%q,"object":{"kind":"Pod","apiVersion":"v1",`+fmt.Sprintf(meta, "cart")+`,"status":{"phase":"Running","podIP":"10.0.0.9","podIPs":[{"ip":"10.0.0.9"}]}}}`+"\n", event)
	}
	return fmt.Sprintf(`{"type":%q,"object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",`+fmt.Sprintf(meta, "shop")+`,"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.9"]}]}}`+"\n", event)
}

// disorder sends every event twice, and then, while nothing else happens, old ones once more.
func disorder(s *stage) {
	i := s.newIntercept()
	defer func() { s.proxy.lead(apiAddress) }()
	type sent struct {
		on   *stream
		line string
	}
	var mu sync.Mutex
	var all []sent
	i.events(func(on *stream, line string) string {
		if strings.HasPrefix(line, `{"type":"BOOKMARK"`) {
			return line
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, sent{on, line})
		return line + line
	})
	s.soon("all go through the interceptor", func() error { return i.watches(watched...) })
	s.grow()
	s.calm()
	s.shrink()
	i.events(nil)
	if len(all) == 0 {
		s.failf("no event came twice")
	}
	for _, old := range all {
		old.on.push(old.line)
	}
	s.lasts(faultTime)
}
