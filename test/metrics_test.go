package test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	_ "github.com/coredns/coredns/plugin/metrics"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

// families are metrics by name.
type families map[string]*dto.MetricFamily

// scrape reads the metrics of a server, as Prometheus does, in a format.
func scrape(t testing.TB, address string, format expfmt.FormatType) families {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := expfmt.NewFormat(format)
	request.Header.Set("Accept", string(want))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := expfmt.ResponseFormat(response.Header)
	if got.FormatType() != format {
		t.Fatalf("format: got %s, want %s", got, want)
	}
	all := make(families)
	for decoder := expfmt.NewDecoder(response.Body, got); ; {
		family := &dto.MetricFamily{}
		if err := decoder.Decode(family); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[family.GetName()] = family
	}
}

// of gives the metrics of a zone by the values of other labels, with spaces between them.
func (f families) of(name, zone string, labels ...string) map[string]*dto.Metric {
	found := make(map[string]*dto.Metric)
	for _, m := range f[name].GetMetric() {
		values := make(map[string]string)
		for _, label := range m.GetLabel() {
			values[label.GetName()] = label.GetValue()
		}
		if values["zone"] != zone {
			continue
		}
		by := make([]string, 0, len(labels))
		for _, label := range labels {
			by = append(by, values[label])
		}
		found[strings.Join(by, " ")] = m
	}
	return found
}

// counts gives the values of counters.
func (f families) counts(name, zone string, labels ...string) map[string]float64 {
	counts := make(map[string]float64)
	for by, m := range f.of(name, zone, labels...) {
		counts[by] = m.GetCounter().GetValue()
	}
	return counts
}

// measured is a Corefile with metrics at an address, for a zone that no other test has.
func measured(api *fakeapi.Server, address, zone, more string) string {
	return `.:0 {
		prometheus ` + address + `
		longnames ` + zone + ` 10.in-addr.arpa {
			endpoint ` + api.URL + `
			namespaces prod
			selector app=web
			basename app
			fallthrough 10.in-addr.arpa
			` + more + `
		}
	}`
}

func TestQuestionsAreCounted(t *testing.T) {
	const zone = "counted.internal."
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, ""))
	want := make(map[string]float64)
	for _, tc := range []struct{ name, qtype, want string }{
		{zone, "SRV", "SRV success"},
		{zone, "TXT", "TXT success"},
		{zone, "A", "A success"},
		{zone, "AAAA", "AAAA nodata"},
		{zone, "SOA", "SOA success"},
		{zone, "NS", "NS success"},
		{zone, "ANY", "ANY success"},
		{zone, "MX", "other nodata"},
		{zone, "HTTPS", "other nodata"},
		{zone, "AXFR", "other refused"},
		{"1.0.0.10.in-addr.arpa.", "PTR", "PTR success"},
		{"9.0.0.10.in-addr.arpa.", "PTR", "PTR nxdomain"}, // there is no next plugin
		{"nobody." + zone, "SRV", "SRV nxdomain"},
		{"example.org.", "A", ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			s.query(network, tc.name, tc.qtype, 0)
			if tc.want != "" {
				want["dns://:0 "+tc.want]++
			}
		}
	}
	for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim} {
		got := scrape(t, address, format).counts("coredns_longnames_questions_total", zone, "server", "type", "result")
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestQuestionsBeforeTheMembersAreKnownAreCounted(t *testing.T) {
	const zone = "unknown.internal."
	api := fakeapi.New(t)
	api.Hang()
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, "startup_timeout 10ms"))
	s.query("udp", zone, "SRV", 0)
	want := map[string]float64{"SRV servfail": 1}
	if got := scrape(t, address, expfmt.TypeTextPlain).counts("coredns_longnames_questions_total", zone, "type", "result"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRequestsToTheAPIServerAreCounted(t *testing.T) {
	const zone = "requests.internal."
	api := fakeapi.New(t, fakeapi.WithoutWatchList())
	address := freeAddress(t)
	start(t, measured(api, address, zone, ""))
	api.WaitForWatches(1)
	requests := func(labels ...string) map[string]float64 {
		return scrape(t, address, expfmt.TypeTextPlain).counts("coredns_longnames_api_requests_total", zone, labels...)
	}
	want := map[string]float64{"watch 422": 1, "list 200": 1, "watch 200": 1}
	// The server knows of a watch before the client has read that it is open.
	eventually(t, fmt.Sprint("requests are ", want), func() bool { return maps.Equal(requests("verb", "code"), want) })
	for _, step := range []struct {
		code  string
		fault func()
	}{
		{"403", func() { api.Fail(http.StatusForbidden, metav1.StatusReasonForbidden, "no"); api.Cut() }},
		{"429", func() { api.Fail(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "slow down") }},
		{"error", func() { api.Stop() }},
	} {
		step.fault()
		eventually(t, "a request with code "+step.code, func() bool { return requests("code")[step.code] > 0 })
	}
}

// since lets a slice tell that it was written for a change so long ago.
func since(ago time.Duration, e *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	metav1.SetMetaDataAnnotation(&e.ObjectMeta, corev1.EndpointsLastChangeTriggerTime, time.Now().Add(-ago).UTC().Format(time.RFC3339))
	return e
}

func TestPropagationIsMeasured(t *testing.T) {
	const zone = "propagation.internal."
	endpoints := func(n int) (all []discoveryv1.Endpoint, longnames []string) {
		for i := range n {
			ip := fmt.Sprint("10.0.0.", i+1)
			all, longnames = append(all, endpoint(fmt.Sprint("web-", i), ip, true)), append(longnames, "app@"+ip)
		}
		return all, longnames
	}
	objects := func(n int) *discoveryv1.EndpointSlice {
		all, _ := endpoints(n)
		return slice(all...)
	}
	api := fakeapi.New(t)
	api.Put(since(2*time.Second, objects(1)))
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, ""))
	shown := func(n int) {
		t.Helper()
		_, longnames := endpoints(n)
		s.soon(zone, "TXT", longnames...)
	}
	histogram := func() *dto.Histogram {
		m := scrape(t, address, expfmt.TypeProtoDelim).of("coredns_longnames_propagation_duration_seconds", zone)[""]
		return m.GetHistogram()
	}
	none := func(what string) {
		t.Helper()
		if got := histogram().GetSampleCount(); got != 0 {
			t.Errorf("%s: got %d, want none", what, got)
		}
	}
	shown(1)
	none("listed")
	api.Put(objects(2))
	shown(2)
	none("does not tell")
	api.Put(since(24*time.Hour, objects(3)))
	shown(3)
	none("tells of something else")
	opened := len(api.Requests(fakeapi.Verb("watch")))
	api.Hang() // until the change is made, so that it is listed
	api.Cut()
	api.Put(since(2*time.Second, objects(4)))
	api.Compact()
	api.Resume()
	api.WaitForOpened(opened + 1)
	shown(4)
	none("listed again")

	start := time.Now()
	api.Put(since(2*time.Second, objects(5)))
	shown(5)
	// An answer may come just before it is measured.
	eventually(t, "the change is measured", func() bool { return histogram().GetSampleCount() > 0 })
	h := histogram()
	// What is sent has no fractions of a second.
	if got, most := h.GetSampleSum(), (3*time.Second + time.Since(start)).Seconds(); h.GetSampleCount() != 1 || got < 2 || got > most {
		t.Errorf("got %d that took %v s, want 1 from 2 to %v", h.GetSampleCount(), got, most)
	}
	if len(h.GetPositiveSpan()) == 0 || len(h.GetPositiveDelta()) != 1 {
		t.Errorf("native buckets: got spans %v and deltas %v, want one bucket", h.GetPositiveSpan(), h.GetPositiveDelta())
	}
	if len(h.GetBucket()) == 0 {
		t.Error("classic buckets: got none")
	}
	classic := scrape(t, address, expfmt.TypeTextPlain).of("coredns_longnames_propagation_duration_seconds", zone)[""].GetHistogram()
	if classic.GetSampleCount() != 1 || len(classic.GetBucket()) == 0 || len(classic.GetPositiveSpan()) > 0 {
		t.Errorf("as text: got %v, want 1 in classic buckets", classic)
	}
}

// A pod is measured from when its condition changed.
func TestPropagationOfPodsIsMeasured(t *testing.T) {
	const zone = "pods.internal."
	api := fakeapi.New(t)
	pending := pod("web-0", "")
	pending.Status = corev1.PodStatus{Phase: corev1.PodPending}
	api.Put(pending)
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, "lookup pods"))
	s.wants(zone, "TXT")
	api.WaitForWatches(1)
	p := pod("web-0", "10.0.0.1")
	p.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-2 * time.Second)),
	}}
	api.Put(p)
	s.soon(zone, "TXT", "app@10.0.0.1")
	var h *dto.Histogram
	eventually(t, "the change is measured", func() bool {
		h = scrape(t, address, expfmt.TypeProtoDelim).of("coredns_longnames_propagation_duration_seconds", zone)[""].GetHistogram()
		return h.GetSampleCount() > 0
	})
	if h.GetSampleCount() != 1 || h.GetSampleSum() < 2 {
		t.Errorf("got %d that took %v s, want 1 from 2", h.GetSampleCount(), h.GetSampleSum())
	}
}

// A reload goes on counting, and one without the zone ends its metrics.
func TestMetricsOverReloads(t *testing.T) {
	const zone, other = "reloaded.internal.", "instead.internal."
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, ""))
	questions := func(zone string) map[string]float64 {
		return scrape(t, address, expfmt.TypeTextPlain).counts("coredns_longnames_questions_total", zone, "type", "result")
	}
	reload := func(corefile string) {
		t.Helper()
		next, err := s.instance.Restart(servertest.Input(corefile))
		if err != nil {
			t.Fatal(err)
		}
		s.use(next)
	}
	s.query("udp", zone, "SRV", 0)
	reload(measured(api, address, zone, "ttl 3"))
	s.query("udp", zone, "SRV", 0)
	if got, want := questions(zone), (map[string]float64{"SRV success": 2}); !maps.Equal(got, want) {
		t.Errorf("after a reload: got %v, want %v", got, want)
	}
	reload(measured(api, address, other, ""))
	s.query("udp", other, "SRV", 0)
	if got, want := questions(other), (map[string]float64{"SRV success": 1}); !maps.Equal(got, want) {
		t.Errorf("another zone: got %v, want %v", got, want)
	}
	eventually(t, "no metrics of a zone that is gone", func() bool { return !hasSeries(t, zone) })
	if !hasSeries(t, other) {
		t.Error("got no metrics of the zone that there is")
	}
}

// hasSeries tells whether any metric has a value for a zone.
func hasSeries(t testing.TB, zone string) bool {
	t.Helper()
	all, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if len(families{"": family}.of("", zone)) > 0 {
			return true
		}
	}
	return false
}

// Whatever type is asked for, it gets no label of its own.
func TestOddTypesAreOther(t *testing.T) {
	const zone = "odd.internal."
	api := fakeapi.New(t)
	address := freeAddress(t)
	s := start(t, measured(api, address, zone, ""))
	n := 0.0
	for qtype := 0; qtype < 1<<16; qtype += 257 {
		if _, known := dns.TypeToString[uint16(qtype)]; known {
			continue
		}
		s.ofType(zone, uint16(qtype))
		n++
	}
	want := map[string]float64{"other nodata": n}
	if got := scrape(t, address, expfmt.TypeTextPlain).counts("coredns_longnames_questions_total", zone, "type", "result"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// ofType asks for a type that has no name.
func (s *server) ofType(name string, qtype uint16) {
	s.tb.Helper()
	if _, err := dns.Exchange(new(dns.Msg).SetQuestion(name, qtype), s.udp); err != nil {
		s.tb.Fatalf("%s %d: %v", name, qtype, err)
	}
}
