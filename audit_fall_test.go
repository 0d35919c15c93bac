package longnames

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// sized is a slice of so many members.
func sized(service string, members int) *kubeapi.Object {
	o := slice(service)
	for i := range members {
		o.Members = append(o.Members, endpoint(fmt.Sprintf("%s-%d", service, i), fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)))
	}
	return o
}

func TestFallsAreCounted(t *testing.T) {
	const zone = "falls.internal."
	type step struct {
		after   time.Duration
		members int
	}
	for _, tc := range []struct {
		name  string
		hold  string
		steps []step
		want  float64
		log   string
	}{
		{"to half", "0", []step{{0, 10}, {0, 5}}, 0, ""},
		{"below half", "0", []step{{0, 10}, {0, 4}}, 1, "Cluster falls.internal. lists 4 members, fewer than half of those (10) that it has listed lately"},
		{"one of two", "0", []step{{0, 2}, {0, 1}}, 0, ""},
		{"two of three", "0", []step{{0, 3}, {0, 1}}, 1, "lists 1 members, fewer than half of those (3)"},
		{"a rolling update while all that are old are still there", "0", []step{{0, 10}, {time.Second, 20}, {time.Second, 10}}, 0, ""},
		{"in steps", "0", []step{{0, 10}, {time.Second, 7}, {time.Second, 4}, {time.Second, 3}, {time.Second, 1}}, 1, "lists 4 members"},
		{"twice", "0", []step{{0, 10}, {time.Second, 4}, {time.Second, 10}, {time.Second, 4}}, 2, "lists 4 members"},
		{"in steps that are nine minutes apart", "0", []step{{9 * time.Minute, 10}, {time.Minute, 6}, {9 * time.Minute, 4}}, 1, "(10)"},
		{"in steps of which the first are some minutes ago", "0", []step{{0, 10}, {9 * time.Minute, 6}, {2 * time.Minute, 4}}, 1, "(10)"},
		{"in steps that are twenty minutes apart", "0", []step{{0, 10}, {20 * time.Minute, 6}, {20 * time.Minute, 4}, {20 * time.Minute, 2}}, 0, ""},
		{"after hours in which nothing has changed", "0", []step{{0, 10}, {5 * time.Hour, 4}}, 1, "(10)"},
		{"once more, from what is usual by now", "0", []step{{0, 10}, {0, 4}, {20 * time.Minute, 3}, {0, 1}}, 2, "lists 1 members, fewer than half of those (4)"},
		{"the only one, given up", "30s", []step{{0, 1}, {0, 0}, {301 * time.Second, 0}}, 0, ""},
		{"suspect", "30s", []step{{0, 10}, {0, 0}, {299 * time.Second, 0}}, 0, ""},
		{"suspect, and back", "30s", []step{{0, 10}, {0, 0}, {299 * time.Second, 10}, {time.Minute, 10}}, 0, ""},
		{"suspect, and given up", "30s", []step{{0, 10}, {0, 0}, {300 * time.Second, 0}}, 1, "lists 0 members, fewer than half of those (10)"},
		{"suspect, given up, and back", "30s", []step{{0, 10}, {0, 0}, {300 * time.Second, 0}, {0, 1}, {0, 10}}, 1, "lists 0 members"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := configOf(t, "longnames falls.internal {\n selector app=web\n basename app\n hold "+tc.hold+"\n}")
				table := tableOf(c)
				audit := auditOf(table)
				t.Cleanup(audit.close)
				audit.scan() // at all that there was at the start
				before := testutil.ToFloat64(clusterFalls.WithLabelValues(zone))
				now := labelled(c, nil, slice("web"))
				log := logged(t, func() {
					for _, s := range tc.steps {
						time.Sleep(s.after)
						table.release(time.Now())
						next := labelled(c, nil, sized("web", s.members))
						table.Apply([]kubeapi.Change{{Old: now, New: next}})
						now = next
						audit.scan()
					}
				})
				if got := testutil.ToFloat64(clusterFalls.WithLabelValues(zone)) - before; got != tc.want {
					t.Errorf("got %v falls, want %v; log: %q", got, tc.want, log)
				}
				if got := strings.Count(log, "has listed lately"); got != int(tc.want) || !strings.Contains(log, tc.log) {
					t.Errorf("log: got %q, want %v lines with %q", log, tc.want, tc.log)
				}
			})
		})
	}
}

// Whom a snapshot or a reload had, and the API server has not, was lost before.
func TestNothingFallsAtTheStart(t *testing.T) {
	const zone = "fresh.internal."
	falls := func() float64 { return testutil.ToFloat64(clusterFalls.WithLabelValues(zone)) }
	for _, tc := range []struct {
		name  string
		looks int // before everything has been read
	}{{"not looked at before", 0}, {"looked at what was last known", 1}, {"looked before the end", 2}} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, "longnames fresh.internal {\n selector app=web\n basename app\n hold 0\n}")
			table := newTable(c)
			audit := auditOf(table)
			t.Cleanup(audit.close)
			before := falls()
			last, now := labelled(c, nil, sized("web", 10)), labelled(c, nil, sized("web", 4))
			apply(table, last)
			table.Restored()
			if tc.looks > 0 {
				audit.scan()
			}
			table.Apply([]kubeapi.Change{{Old: last, New: now}})
			if tc.looks > 1 {
				audit.scan()
			}
			table.Synced()
			audit.scan()
			if got := falls() - before; got != 0 {
				t.Errorf("at the start: got %v falls, want 0", got)
			}
			table.Apply([]kubeapi.Change{{Old: now, New: labelled(c, nil, sized("web", 1))}})
			logged(t, audit.scan)
			if got := falls() - before; got != 1 {
				t.Errorf("afterwards: got %v falls, want 1", got)
			}
		})
	}
}

func TestFallsInTheLogAreBounded(t *testing.T) {
	const zone, clusters = "crowd.internal.", quotaAtOnce + 5
	c := configOf(t, "longnames crowd.internal {\n group_by app\n hold 0\n}")
	table := tableOf(c)
	audit := auditOf(table)
	t.Cleanup(audit.close)
	audit.scan()
	app := func(i, members int) *kubeapi.Object {
		name := fmt.Sprintf("app%d", i)
		return labelled(c, labels{"app": name}, sized(name, members))
	}
	before := testutil.ToFloat64(clusterFalls.WithLabelValues(zone))
	var fewer []kubeapi.Change
	for i := range clusters {
		apply(table, app(i, 3))
		fewer = append(fewer, kubeapi.Change{Old: app(i, 3), New: app(i, 1)})
	}
	audit.scan()
	table.Apply(fewer)
	log := logged(t, audit.scan)
	if got := testutil.ToFloat64(clusterFalls.WithLabelValues(zone)) - before; got != clusters {
		t.Errorf("got %v falls, want %d", got, clusters)
	}
	if got := strings.Count(log, "has listed lately"); got != quotaAtOnce {
		t.Errorf("got %d clusters in the log, want %d: %q", got, quotaAtOnce, log)
	}
	if want := "And 5 more clusters"; !strings.Contains(log, want) {
		t.Errorf("log: got %q, want %q", log, want)
	}
}
