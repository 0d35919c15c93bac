package process

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// reading is a block that has a zone of its own, and what comes of the objects that it reads. In texts, ZONE is the zone,
// PROD the namespace, and IP0 and IP1 are addresses.
type reading struct {
	name, options string             // options are separated by "; "
	given         func(app string)   // makes objects of an app that has the name of the reading
	answers       []lookup           // the names are below the zone, which is @
	lines         []string           // patterns of the warnings about the zone
	metrics       map[string]float64 // by name and one more label
}

func (b *bed) text(r *reading, text string) string {
	return strings.NewReplacer("ZONE", r.name+`\.internal\.`, "PROD", b.prod, "IP0", b.address(10), "IP1", b.address(11)).Replace(text)
}

// reads starts a CoreDNS with a block for each reading, and waits for what comes of them.
func (b *bed) reads(t *testing.T, readings []reading) *server {
	t.Helper()
	cluster.Many(t, 0, len(readings), func(i int) {
		if r := &readings[i]; r.given != nil {
			r.given(r.name)
		}
	})
	blocks := ""
	for i := range readings {
		r := &readings[i]
		options := strings.ReplaceAll(b.text(r, "hold 0; startup_timeout 1m; "+r.options), "; ", "\n")
		blocks += "longnames " + r.name + ".internal {\nservice_account " + b.account + "\n" + options + "\n}\n"
	}
	s := b.serve(t, blocks)
	for i := range readings {
		r := &readings[i]
		for _, a := range r.answers {
			name, qtype, _ := strings.Cut(b.text(r, a.question), " ")
			s.wants(strings.TrimPrefix(name+"."+r.name+".internal", "@."), qtype, strings.Fields(b.text(r, a.want))...)
		}
		s.counted(r, 0)
	}
	s.warned(readings)
	return s
}

// counted waits for the metrics of a reading that has got some more members.
func (s *server) counted(r *reading, more int) {
	zone, members := `zone="`+r.name+`.internal."`, more
	for _, a := range r.answers {
		if strings.HasSuffix(a.question, " TXT") {
			members += strings.Count(a.want, "@")
		}
	}
	s.counts(float64(members), "members", zone)
	s.counts(1, "members_known", zone)
	for metric, want := range r.metrics {
		name, label, _ := strings.Cut(metric, " ")
		s.counts(want, name, zone, label)
	}
}

// warned waits until CoreDNS has logged the warnings of some readings, and others, each once, and no more.
func (s *server) warned(readings []reading, others ...string) {
	for i := range readings {
		for _, line := range readings[i].lines {
			others = append(others, s.bed.text(&readings[i], line))
		}
	}
	s.warns(others...)
}

// grow gives each reading another member, so that all that is wrong is found again.
func (s *server) grow(readings []reading) {
	for i := range readings {
		if r := &readings[i]; strings.Contains(r.options, "lookup pods") {
			s.bed.pod(s.t, s.bed.prod, r.name, r.name+"-more", s.bed.address(20), hosted)
		} else {
			s.bed.slice(s.t, r.name, "more", s.bed.address(20))
		}
	}
	for i := range readings {
		s.counted(&readings[i], 1)
	}
	s.warned(readings)
}

// openAll makes a namespace, and an account that may read all there.
func (b *bed) openAll(t *testing.T) {
	t.Helper()
	b.open(t, endpointSlices, listWatch)
	more := *b
	more.name += "-pods"
	more.grant(t, b.prod, b.prod, pods, listWatch)
}

// leftOut has blocks that read nobody, and candidates that cannot be members.
func leftOut(t *testing.T, b *bed) {
	b.openAll(t)
	readings := []reading{
		{name: "nobody", options: "namespaces PROD; selector app=nobody; basename shop", answers: []lookup{{"@ TXT", ""}},
			lines: []string{`ZONE Nothing matches: no EndpointSlices in the namespaces PROD have labels like "app=nobody", which are those of its Service$`}},
		{name: "empty", options: "selector app=empty; basename shop", answers: []lookup{{"@ TXT", ""}}, // an alert says so
			given: func(app string) {
				b.service(t, app, b.some(10, 11, "%s"))
				b.DeletePod(t, b.prod, app+"-0")
				b.endpoints(t, app, 0)
			}},
		{name: "last", options: "lookup pods; selector app=last; basename shop", answers: []lookup{{"@ TXT", "shop@IP0"}},
			given: func(app string) { b.pod(t, b.prod, app, app, b.address(10)) }},
		{name: "several", options: "selector app=several; basename shop", answers: []lookup{{"@ TXT", "shop@IP0"}, {"@ A", "IP0"}},
			given:   func(app string) { b.slice(t, app, "", b.address(10), b.address(11)) },
			lines:   []string{`PROD/several-\w+ has more than one address for each endpoint: the others are left out of ZONE$`},
			metrics: map[string]float64{"cut_objects": 1}},
		{name: "basenames", options: "selector app=basenames; basename label tier",
			given: func(app string) {
				b.slice(t, app, "shop", b.address(10))
				b.slice(t, app, "shop.1", b.address(11))
			},
			answers: []lookup{{"@ TXT", "shop@IP0"}},
			lines:   []string{`PROD/basenames-\w+: .*IP1 is left out of ZONE: its basename must match \[0-9A-Za-z_-\]\+$`},
			metrics: map[string]float64{`left_out_members reason="basename"`: 1}},
	}
	s := b.reads(t, readings)
	s.grow(readings)
	b.DeletePod(t, b.prod, "last")
	b.DeletePod(t, b.prod, "last-more")
	s.wants("last.internal", "TXT")
	s.counts(0, "members", `zone="last.internal."`)
	s.warned(readings, `Cluster last\.internal\. lists . members, fewer than half of those \(2\) that it has listed lately$`,
		`last\.internal\. Nothing matches: no Pods in .* have labels like "app=last", which are those of the pod itself$`)
}

// ownNames has pods that have no name of their own as they are deployed.
func ownNames(t *testing.T, b *bed) {
	b.openAll(t)
	shared := map[string]float64{"contested_names": 1}
	readings := []reading{
		{name: "deployed", options: "selector app=deployed; basename shop; mode hostname; endpoint_pod_names",
			given: func(app string) { b.service(t, app, b.some(10, 12, "%s")) },
			answers: []lookup{{"deployed-1 A", "IP1"},
				{"@ TXT", "shop@deployed-0.deployed.PROD.svc.cluster.local shop@deployed-1.deployed.PROD.svc.cluster.local"}}},
		{name: "fixed", options: "selector app=fixed; basename shop; mode hostname",
			given: func(app string) {
				b.service(t, app, b.some(10, 12, "%s"), hosted, func(p *corev1.Pod) { p.Spec.Hostname = "same" })
			},
			answers: []lookup{{"@ TXT", "shop@same.fixed.PROD.svc.cluster.local"}, {"same A", "IP0 IP1"}}, metrics: shared,
			lines: []string{`ZONE Longname shop@same\.fixed\.PROD\.svc\.cluster\.local is that of "PROD/fixed-[01]" and "PROD/fixed-[01]": others take both for one node$`}},
		{name: "node", options: "selector app=node; basename shop",
			given: func(app string) {
				b.service(t, app, []string{b.address(10), b.address(10)}, func(p *corev1.Pod) { p.Spec.HostNetwork = true })
			},
			answers: []lookup{{"@ TXT", "shop@IP0"}}, metrics: shared,
			lines: []string{`ZONE Longname shop@IP0 is that of "PROD/node-[01]" and "PROD/node-[01]": others take both for one node$`}},
		{name: "foreign", options: "selector app=foreign; basename shop; mode hostname", answers: []lookup{{"@ TXT", ""}},
			given: func(app string) {
				b.service(t, app, b.some(10, 11, "%s"), hosted, func(p *corev1.Pod) { p.Spec.Subdomain = "other" })
			},
			lines: []string{`PROD/foreign-\w+: pod foreign-0 at IP0 is left out of ZONE: mode hostname needs a hostname that is a DNS label: ` +
				`its pod's spec\.hostname, if spec\.subdomain names the Service, or else option endpoint_pod_names$`},
			metrics: map[string]float64{`left_out_members reason="hostname"`: 1}},
		{name: "lonely", options: "lookup pods; selector app=lonely; basename shop; mode hostname", answers: []lookup{{"@ TXT", ""}},
			given: func(app string) {
				b.pod(t, b.prod, app, app, b.address(10), func(p *corev1.Pod) { p.Spec.Hostname = app })
			},
			lines: []string{`PROD/lonely: .*lonely at IP0 is left out of ZONE: mode hostname needs a service that is a DNS label: ` +
				`its pod's spec\.subdomain, its slice's label kubernetes.io/service-name, or else option service$`},
			metrics: map[string]float64{`left_out_members reason="service"`: 1}},
		{name: "cured", options: "selector app=foreign; basename shop; mode hostname; endpoint_pod_names",
			answers: []lookup{{"@ TXT", "shop@foreign-0.foreign.PROD.svc.cluster.local"}}},
	}
	b.reads(t, readings).grow(readings)
}

// notReady has two Services, each with a pod that is not ready. One publishes it all the same.
func notReady(t *testing.T, b *bed) {
	b.open(t, endpointSlices, listWatch)
	given := func(app string) {
		b.service(t, app, b.some(10, 12, "%s"))
		b.SetReady(t, b.prod, app+"-1", false)
		b.Kubectl(t, "-n", b.prod, "patch", "service", app, "-p", fmt.Sprintf(`{"spec":{"publishNotReadyAddresses":%t}}`, app == "published"))
	}
	const one, both = "shop@IP0", "shop@IP0 shop@IP1"
	readings := []reading{
		{name: "published", options: "selector app=published; basename shop; include serving", given: given, answers: []lookup{{"@ TXT", one}}},
		{name: "published-ready", options: "selector app=published; basename shop; include ready", answers: []lookup{{"@ TXT", both}}},
		{name: "published-all", options: "selector app=published; basename shop; include all", answers: []lookup{{"@ TXT", both}}},
		{name: "plain", options: "selector app=plain; basename shop; include serving", given: given, answers: []lookup{{"@ TXT", one}}},
		{name: "plain-ready", options: "selector app=plain; basename shop; include ready", answers: []lookup{{"@ TXT", one}}},
		{name: "plain-all", options: "selector app=plain; basename shop; include all", answers: []lookup{{"@ TXT", both}}},
	}
	s := b.reads(t, readings)
	s.grow(readings)
	b.SetReady(t, b.prod, "published-1", true)
	s.wants("published.internal", "A", b.address(10), b.address(11), b.address(20))
}

// typos has Corefiles with mistakes that read well. CoreDNS says what is wrong.
func typos(t *testing.T, b *bed) {
	b.openAll(t)
	labelled := func(kind string) func(app string) {
		return func(app string) {
			b.service(t, app, b.some(10, 11, "%s"))
			b.Kubectl(t, "-n", b.prod, "label", kind, "-l", "app="+app, "tier="+app)
		}
	}
	nobody, nothing := []lookup{{"@ TXT", ""}}, `ZONE Nothing matches: no `
	readings := []reading{
		{name: "of-pods", options: "selector tier=of-pods; basename shop", given: labelled("pods"), answers: nobody,
			lines: []string{nothing + `EndpointSlices in .* have labels like "tier=of-pods", which are those of its Service$`}},
		{name: "of-service", options: "lookup pods; selector tier=of-service; basename shop", given: labelled("services"), answers: nobody,
			lines: []string{nothing + `Pods in .* have labels like "tier=of-service", which are those of the pod itself$`}},
		{name: "of-slices", options: "lookup pods; selector kubernetes.io/service-name=of-pods; basename shop", answers: nobody,
			lines: []string{nothing + `Pods in .* have labels like "kubernetes.io/service-name=of-pods", which are those of the pod itself$`,
				`ZONE Label "kubernetes.io/service-name" is asked for, which no object of lookup pods gets from Kubernetes$`}},
		{name: "of-controllers", options: "selector apps.kubernetes.io/pod-index=0; basename shop", answers: nobody,
			lines: []string{nothing + `EndpointSlices in .* have labels like "apps.kubernetes.io/pod-index=0", which are those of its Service$`,
				`ZONE Label "apps.kubernetes.io/pod-index" is asked for, which no object of lookup endpoints gets from Kubernetes$`}},
		{name: "of-nobody", options: "group_by app.kubernetes.io/names", answers: []lookup{{"shop.PROD TXT", "NXDOMAIN"}},
			lines: []string{nothing + `EndpointSlices in .* have labels like "app.kubernetes.io/names", which are those of its Service$`}},
	}
	s := b.reads(t, readings)
	for name, kind := range map[string]string{"of-pods": "services", "of-service": "pods"} {
		b.Kubectl(t, "-n", b.prod, "label", kind, "-l", "app="+name, "tier="+name)
		s.wants(name+".internal", "TXT", "shop@"+b.address(10))
	}
	s.warned(readings)
}
