package longnames

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// A cluster is known once its namespace has been read, whatever is the matter with others.
func TestKnownByNamespace(t *testing.T) {
	const block = "longnames erl.internal 10.in-addr.arpa {\n namespaces a b\n group_by app\n mode dns\n cluster_domain erl.internal\n}"
	type unread map[string]time.Time
	long := time.Now().Add(-time.Hour)
	object := func(c *config, namespace, address string) *kubeapi.Object {
		o := labelled(c, labels{"app": "web"}, slice("web", endpoint("p", address)))
		o.Namespace = namespace
		return o
	}
	const (
		ofA, ofB, nobody = "web.a.erl.internal. TXT", "web.b.erl.internal. TXT", "shop.a.erl.internal. TXT"
		hostOfA, hostOfB = "10-0-0-1.a.pod.erl.internal. A", "10-0-0-2.b.pod.erl.internal. A"
		atA, atB         = "1.0.0.10.in-addr.arpa. PTR", "2.0.0.10.in-addr.arpa. PTR"
		elsewhere        = "web.c.erl.internal. TXT"
	)
	fail, missing := []string{"SERVFAIL"}, []string{"NXDOMAIN"}
	membersOfA, hostA := []string{"web@10-0-0-1.a.pod.erl.internal"}, []string{"10-0-0-1.a.pod.erl.internal."}
	for _, tc := range []struct {
		name  string
		do    func(*table)
		want  map[string][]string
		moves bool // a zone can be transferred
	}{
		{"neither has been read", func(t *table) { t.Unread(unread{"a": {}, "b": {}}) }, map[string][]string{
			ofA: fail, ofB: fail, nobody: fail, hostOfA: fail, hostOfB: fail, atA: fail, atB: fail,
		}, false},
		{"one has been read", func(t *table) {
			apply(t, object(t.config, "a", "10.0.0.1"))
			t.Unread(unread{"b": {}})
		}, map[string][]string{
			ofA: membersOfA, ofB: fail, nobody: missing, hostOfA: fail, hostOfB: fail, atA: hostA, atB: fail, elsewhere: missing,
		}, false},
		{"the other may not be read", func(t *table) {
			apply(t, object(t.config, "a", "10.0.0.1"))
			t.Unread(unread{"b": long})
			t.Synced()
		}, map[string][]string{
			ofA: membersOfA, ofB: fail, nobody: missing, hostOfA: {"10.0.0.1"}, hostOfB: missing, atA: hostA, atB: missing, elsewhere: missing,
		}, true},
		{"the other may be read at last", func(t *table) {
			apply(t, object(t.config, "a", "10.0.0.1"))
			t.Unread(unread{"b": long})
			t.Synced()
			apply(t, object(t.config, "b", "10.0.0.2"))
			t.Unread(unread{})
		}, map[string][]string{
			ofA: membersOfA, ofB: {"web@10-0-0-2.b.pod.erl.internal"}, nobody: missing, hostOfB: {"10.0.0.2"}, atB: {"10-0-0-2.b.pod.erl.internal."},
		}, true},
		{"the other may not be read, but was known before the start", func(t *table) {
			apply(t, object(t.config, "a", "10.0.0.1"), object(t.config, "b", "10.0.0.2"))
			t.Unread(unread{"a": {}, "b": {}})
			t.Restored()
			t.Unread(unread{"b": long})
			t.Synced()
		}, map[string][]string{
			ofA: membersOfA, ofB: {"web@10-0-0-2.b.pod.erl.internal"}, "shop.b.erl.internal. TXT": fail, atB: {"10-0-0-2.b.pod.erl.internal."},
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := newTable(configOf(t, block))
			l := serving(table)
			tc.do(table)
			for question, want := range tc.want {
				equal(t, question, client{}.hears(t, l, question), want)
			}
			records, err := l.Transfer("erl.internal.", 0)
			if (err == nil) != tc.moves {
				t.Errorf("transfer: got error %v, want one: %t", err, !tc.moves)
			}
			for err == nil && len(<-records) > 0 {
			}
		})
	}
}

// A rollout shall not wait for ever for what nobody may read.
func TestReadyWithoutNamespacesThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, tc := range []struct {
			name             string
			unread           map[string]time.Time
			synced, restored bool
			want             bool
		}{
			{name: "nothing is read"},
			{name: "all is read", synced: true, want: true},
			{name: "known before the start", unread: map[string]time.Time{"a": {}, "b": {}}, restored: true, want: true},
			{name: "one may not be read, since now", unread: map[string]time.Time{"b": now}, synced: true},
			{name: "one may not be read, since almost a minute", unread: map[string]time.Time{"b": now.Add(time.Second - forbiddenLong)}, synced: true},
			{name: "one may not be read, since a minute", unread: map[string]time.Time{"b": now.Add(-forbiddenLong)}, synced: true, want: true},
			{name: "one may not be read, and one is being read", unread: map[string]time.Time{"b": now.Add(-time.Hour), "c": {}}},
			{name: "none may be read", unread: map[string]time.Time{"a": now.Add(-time.Hour), "b": now.Add(-time.Hour)}},
		} {
			table := newTable(configOf(t, "longnames erl.internal {\n namespaces a b c\n group_by app\n}"))
			if tc.unread != nil {
				table.Unread(tc.unread)
			}
			if tc.restored {
				o := labelled(table.config, labels{"app": "web"}, slice("web", endpoint("p", "10.0.0.1")))
				apply(table, o)
				table.Restored()
			}
			if tc.synced {
				table.Synced()
			}
			if got := table.isReady(now); got != tc.want {
				t.Errorf("%s: ready: got %t, want %t", tc.name, got, tc.want)
			}
			i := &instance{blocks: []*block{{table: table}}}
			if got := i.isReady(); got != tc.want {
				t.Errorf("%s: instance ready: got %t, want %t", tc.name, got, tc.want)
			}
		}
	})
}

// The metric tells that members are missing as long as a namespace has not been read.
func TestMembersOfUnreadNamespacesAreNotKnown(t *testing.T) {
	table := newTable(configOf(t, "longnames unread.internal {\n namespaces a b\n group_by app\n}"))
	a := auditOf(table)
	t.Cleanup(a.close)
	for i, step := range []struct {
		do   func()
		want float64
	}{
		{func() {}, 0},
		{func() { table.Unread(map[string]time.Time{"b": time.Now()}); table.Synced() }, 0},
		{func() { table.Unread(nil) }, 1},
	} {
		step.do()
		logged(t, a.scan)
		if got := knownIn("unread.internal."); got != step.want {
			t.Errorf("step %d: got %s, want %v", i, fmt.Sprint(got), step.want)
		}
	}
}
