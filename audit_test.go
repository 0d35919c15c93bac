package longnames

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// logged gives what is logged while f runs.
func logged(t testing.TB, f func()) string {
	t.Helper()
	var b bytes.Buffer
	clog.SetOutput(&b)
	defer clog.SetOutput(os.Stdout)
	f()
	return b.String()
}

func TestAuditSaysOnceWhoIsLeftOut(t *testing.T) {
	const hostname = "longnames audit.internal {\n group_by app\n mode hostname\n port dist\n}"
	set := labels{"app": "web"}
	tests := []struct {
		name   string
		object func(c *config) *kubeapi.Object
		reason membership.Problem
		want   string // in the log
	}{
		{"no hostname", func(c *config) *kubeapi.Object {
			return labelled(c, set, slice("web", endpoint("web-0", "10.0.0.1")))
		}, membership.InvalidHostname, "prod/web-abcde: pod web-0 at 10.0.0.1 is left out"},
		{"a service that is no label", func(c *config) *kubeapi.Object {
			return labelled(c, set, slice("we b", hosted(endpoint("web-0", "10.0.0.1"))))
		}, membership.InvalidService, "mode hostname needs a service"},
		{"a namespace that is no label", func(c *config) *kubeapi.Object {
			o := labelled(c, set, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
			o.Namespace = "a.b"
			return o
		}, membership.InvalidNamespace, "its namespace is no DNS label"},
		{"an address that is none", func(c *config) *kubeapi.Object {
			o := labelled(c, set, slice("web"))
			o.Invalid = []string{"10.0.0.300"}
			return o
		}, membership.InvalidAddress, `prod/web-abcde is left out of audit.internal.: "10.0.0.300" is no address`},
		{"an address that others cannot use", func(c *config) *kubeapi.Object {
			o := labelled(c, set, slice("web"))
			o.Invalid = []string{"::ffff:10.0.0.9"}
			return o
		}, membership.InvalidAddress, `prod/web-abcde is left out of audit.internal.: "::ffff:10.0.0.9" is IPv4-mapped`},
		{"a group of the name server's name", func(c *config) *kubeapi.Object {
			o := labelled(c, labels{"app": "NS"}, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
			o.Namespace = "dns"
			return o
		}, membership.ReservedName, "dns/web-abcde: cluster ns.dns is left out of audit.internal.: a pod, a Service or the name server can be called so"},
		{"a group that is no label", func(c *config) *kubeapi.Object {
			return labelled(c, labels{"app": "a.b"}, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
		}, membership.InvalidGroup, `its group "a.b" is no DNS label`},
		{"a longname that is too long", func(c *config) *kubeapi.Object {
			c.rules.Naming.Domain = strings.Repeat("a23456789.", 24) + "internal"
			return labelled(c, set, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
		}, membership.TooLong, "longer than 255 characters"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, hostname)
			table := tableOf(c)
			a := auditOf(table)
			count := func() float64 {
				return testutil.ToFloat64(leftOutMembers.WithLabelValues("audit.internal.", string(tc.reason)))
			}
			bad := tc.object(c)
			apply(table, bad)
			log := logged(t, a.scan)
			if !strings.Contains(log, tc.want) || strings.Count(log, "\n") != 1 {
				t.Errorf("log: got %q, want one line with %q", log, tc.want)
			}
			if got := count(); got != 1 {
				t.Errorf("count: got %v, want 1", got)
			}
			again := *bad
			again.Version++
			table.Apply([]kubeapi.Change{{Old: bad, New: &again}})
			if log := logged(t, a.scan); log != "" {
				t.Errorf("log at the second look: got %q, want none", log)
			}
			table.Apply([]kubeapi.Change{{Old: &again}})
			a.scan()
			if got := count(); got != 0 {
				t.Errorf("count afterwards: got %v, want 0", got)
			}
			if len(a.known) != 0 {
				t.Errorf("known afterwards: got %v, want nothing", a.known)
			}
		})
	}
}

func TestAuditCountsDefaultPorts(t *testing.T) {
	c := configOf(t, "longnames port.internal {\n selector app=web\n basename app\n port dist\n}")
	table := tableOf(c, slice("web", endpoint("p1", "10.0.0.1")),
		ported(slice("api", endpoint("p2", "10.0.0.2")), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100}))
	a := auditOf(table)
	t.Cleanup(a.close)
	log := logged(t, a.scan)
	if want := `app@10.0.0.1 in port.internal. declares no port "dist"`; !strings.Contains(log, want) || strings.Count(log, "\n") != 1 {
		t.Errorf("log: got %q, want one line with %q", log, want)
	}
	if got := testutil.ToFloat64(defaultPorts.WithLabelValues("port.internal.")); got != 1 {
		t.Errorf("count: got %v, want 1", got)
	}
}

func TestAuditCountsWhatIsCut(t *testing.T) {
	c := configOf(t, "longnames ports.internal {\n selector app=web\n basename app\n lookup pods\n}")
	o := podWithPorts(c, kubeapi.MaxPorts+1)
	table := tableOf(c, o, labelled(c, nil, named("other", podWithPorts(c, kubeapi.MaxPorts))))
	a := auditOf(table)
	t.Cleanup(a.close)
	log := logged(t, a.scan)
	if want := "prod/hostile has more than 100 named ports: the others are left out of ports.internal."; !strings.Contains(log, want) || strings.Count(log, "\n") != 1 {
		t.Errorf("log: got %q, want one line with %q", log, want)
	}
	if got := testutil.ToFloat64(cutObjects.WithLabelValues("ports.internal.")); got != 1 {
		t.Errorf("count: got %v, want 1", got)
	}
	table.Apply(gone(o))
	a.scan()
	if got := testutil.ToFloat64(cutObjects.WithLabelValues("ports.internal.")); got != 0 {
		t.Errorf("count afterwards: got %v, want 0", got)
	}
}

func TestAuditLogIsBounded(t *testing.T) {
	c := configOf(t, "longnames many.internal {\n selector app=web\n basename app\n mode hostname\n}")
	var members []kubeapi.Member
	for address := range strings.FieldsSeq(strings.Repeat("10.0.0.1 ", 500)) {
		members = append(members, endpoint(string(rune('a'+len(members)%26))+strings.Repeat("x", len(members)/26), address))
	}
	log := logged(t, auditOf(tableOf(c, slice("web", members...))).scan)
	if got := strings.Count(log, "\n"); got != quotaAtOnce+1 {
		t.Errorf("lines: got %d, want %d", got, quotaAtOnce+1)
	}
	if want := "490 more such findings"; !strings.Contains(log, want) {
		t.Errorf("log: got %q, want %q in it", log, want)
	}
}

func TestAuditsOfOneZoneCountTogether(t *testing.T) {
	c := configOf(t, "longnames together.internal {\n selector app=web\n basename app\n mode hostname\n}")
	count := func(p membership.Problem) float64 {
		return testutil.ToFloat64(leftOutMembers.WithLabelValues("together.internal.", string(p)))
	}
	bad := slice("web", endpoint("p1", "10.0.0.1"))
	first, second := auditOf(tableOf(c, bad)), auditOf(tableOf(c, bad))
	if got := testutil.CollectAndCount(leftOutMembers); got < len(membership.Problems) {
		t.Errorf("metrics of a healthy zone: got %d, want all %d", got, len(membership.Problems))
	}
	for _, step := range []struct {
		do   func()
		want float64
	}{{first.scan, 1}, {second.scan, 2}, {first.close, 1}, {second.close, 0}} {
		logged(t, step.do)
		if got := count(membership.InvalidHostname); got != step.want {
			t.Errorf("got %v, want %v", got, step.want)
		}
	}
}

func TestAuditSaysWhatNoMessageCanHold(t *testing.T) {
	for members, want := range map[int]int{1000: 0, 2500: 1} {
		l := manyMembers(t, ipBlock, members)
		m := ask(t, l, "erl.internal.", "SRV", client{tcp: true})
		if got := m.Truncated; got != (want == 1) {
			t.Errorf("%d members: got truncated %t, want %t", members, got, want == 1)
		}
		b := l.blocks[0]
		audit := auditOf(b.table)
		log := logged(t, audit.scan)
		if got := testutil.ToFloat64(truncatedClusters.WithLabelValues("erl.internal.")); got != float64(want) {
			t.Errorf("%d members: got %v truncated clusters, want %d", members, got, want)
		}
		audit.close()
		if got := strings.Count(log, "64 KiB"); got != want {
			t.Errorf("%d members: got %d lines, want %d: %q", members, got, want, log)
		}
	}
}

func TestAuditCountsMembersAndClusters(t *testing.T) {
	const zone = "census.internal."
	c := configOf(t, "longnames census.internal {\n group_by app\n mode hostname\n}")
	app := func(name string, members ...kubeapi.Member) *kubeapi.Object {
		return labelled(c, labels{"app": name}, slice(name, members...))
	}
	one, two := hosted(endpoint("p1", "10.0.0.1")), hosted(endpoint("p2", "10.0.0.2"))
	same := one
	same.ID = "another"
	a, b, empty := app("a", one, two, same, unready(hosted(endpoint("p3", "10.0.0.3")))), app("b", one), app("empty")
	unnamed := app("b", endpoint("p1", "10.0.0.1"))
	table := tableOf(c)
	audit := auditOf(table)
	for _, step := range []struct {
		name                                 string
		do                                   func()
		members, clusters, suspects, leftOut float64
	}{
		{"nothing", func() {}, 0, 0, 0, 0},
		{"three clusters, one of them empty", func() { apply(table, a, b, empty) }, 3, 2, 0, 0},
		{"one gone", func() { table.Apply(gone(a)) }, 3, 2, 2, 0},
		{"one without hostname", func() { table.Apply([]kubeapi.Change{{Old: b, New: unnamed}}) }, 3, 2, 3, 1},
		{"one back", func() { apply(table, a) }, 3, 2, 1, 1},
		{"the other given up", func() { table.release(time.Now().Add(time.Hour)) }, 2, 1, 0, 1},
		{"all gone", func() { table.Apply(gone(a, unnamed)) }, 2, 1, 2, 0},
		{"all given up", func() { table.release(time.Now().Add(time.Hour)) }, 0, 0, 0, 0},
		{"the empty one gone", func() { table.Apply(gone(empty)) }, 0, 0, 0, 0},
	} {
		logged(t, func() { step.do(); audit.scan() })
		for name, pair := range map[string][2]float64{
			"members":  {testutil.ToFloat64(listedMembers.WithLabelValues(zone)), step.members},
			"clusters": {testutil.ToFloat64(nonEmptyClusters.WithLabelValues(zone)), step.clusters},
			"suspects": {testutil.ToFloat64(suspectMembers.WithLabelValues(zone, "missing")), step.suspects},
			"left out": {testutil.ToFloat64(leftOutMembers.WithLabelValues(zone, string(membership.InvalidHostname))), step.leftOut},
		} {
			if got, want := pair[0], pair[1]; got != want {
				t.Errorf("%s: %s: got %v, want %v", step.name, name, got, want)
			}
		}
	}
	if len(audit.known) != 0 {
		t.Errorf("known in the end: got %v, want nothing", audit.known)
	}
	apply(table, b)
	audit.scan()
	audit.close()
	if got := testutil.ToFloat64(listedMembers.WithLabelValues(zone)); got != 0 {
		t.Errorf("members of a block that has ended: got %v, want 0", got)
	}
}

// A selector that matches nothing reads well, and is mostly a mistake.
func TestAuditSaysThatNothingMatches(t *testing.T) {
	for _, tc := range []struct {
		options, want string
	}{
		{"selector app=web\n lookup pods\n family ipv6\n hold 0", `no Pods in the namespace of the service account or the context have labels like "app=web", which are those of the pod itself, and addresses of family ipv6`},
		{"selector app=web\n namespaces a b", `no EndpointSlices in the namespaces a b have labels like "app=web", which are those of its Service`},
		{"group_by app\n namespaces *", `no EndpointSlices in any namespace have labels like "app", which are those of its Service`},
		{"selector app=web\n lookup pods", `no Pods in the namespace of the service account or the context have labels like "app=web", which are those of the pod itself`},
		{"selector app=web\n manifests a.yaml b.yaml", `no EndpointSlices in a.yaml b.yaml have labels like "app=web"`},
	} {
		c := configOf(t, "longnames nothing.internal {\n "+tc.options+"\n basename app\n}")
		table := newTable(c)
		a := auditOf(table)
		t.Cleanup(a.close)
		if log := logged(t, a.scan); log != "" {
			t.Errorf("%q, before anything is known: got %q, want no line", tc.options, log)
		}
		table.Synced()
		empty := labelled(c, labels{"app": "web"}, slice("web"))
		if c.source.Family == kubeapi.IPv6 { // an object that has IPv4 addresses only is as good as none
			apply(table, labelled(c, labels{"app": "web"}, named("other", slice("web"))))
			empty = labelled(c, labels{"app": "web"}, slice("web", endpoint("web-0", "fd00::1")))
		}
		for _, step := range []struct {
			what   string
			change func()
			want   string
		}{
			{"at the start", func() {}, tc.want},
			{"at the next look", func() {}, ""},
			{"with an object without members", func() { apply(table, empty) }, ""},
			{"once that is gone", func() { table.Apply([]kubeapi.Change{{Old: empty}}) }, tc.want},
		} {
			step.change()
			log := logged(t, a.scan)
			if !strings.Contains(log, step.want) || strings.Count(log, "\n") != min(1, len(step.want)) {
				t.Errorf("%q, %s: got %q, want %q", tc.options, step.what, log, step.want)
			}
		}
	}
}
