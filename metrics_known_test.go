package longnames

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func knownIn(zone string) float64 { return testutil.ToFloat64(membersKnown.WithLabelValues(zone)) }

func TestMembersAreKnown(t *testing.T) {
	const zone, block = "learned.internal.", "longnames learned.internal {\n selector app=web\n basename app\n}"
	for _, tc := range []struct {
		name       string
		markSynced func(*table)
		want       float64
	}{
		{"nothing happens", func(*table) {}, 0},
		{"some were last known", func(table *table) {
			apply(table, slice("web", endpoint("p1", "10.0.0.1")))
			synctest.Wait()
			table.Restored()
		}, 1},
		{"nobody was last known", func(table *table) { table.Restored() }, 0},
		{"there are some", func(table *table) {
			apply(table, slice("web", endpoint("p1", "10.0.0.1")))
			synctest.Wait()
			table.Synced()
		}, 1},
		{"there is nobody", func(table *table) { table.Synced() }, 1},
		{"a reload goes on holding some", func(table *table) {
			old := tableOf(configOf(t, block), slice("web", endpoint("p1", "10.0.0.1")))
			logged(t, func() { old.Apply(gone(labelled(old.config, nil, slice("web", endpoint("p1", "10.0.0.1"))))) })
			table.inherit(old)
		}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				table := newTable(configOf(t, block))
				audit := auditOf(table)
				if got := knownIn(zone); got != 0 {
					t.Errorf("at first: got %v, want 0", got)
				}
				go audit.run(ctx)
				synctest.Wait()
				tc.markSynced(table)
				// The audit may pause before it looks again.
				time.Sleep(2 * auditInterval)
				synctest.Wait()
				if got := knownIn(zone); got != tc.want {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestMembersOfAZoneAreKnownIfThoseOfAllItsBlocksAre(t *testing.T) {
	const zone = "blocks.internal."
	c := configOf(t, "longnames blocks.internal {\n selector app=web\n basename app\n}")
	first, second, third := newTable(c), newTable(c), tableOf(c)
	var audits []*audit
	for _, step := range []struct {
		name string
		do   func()
		want float64
	}{
		{"one that does not know", func() { audits = append(audits, auditOf(first)) }, 0},
		{"another", func() { audits = append(audits, auditOf(second)) }, 0},
		{"one that knows", func() { audits = append(audits, auditOf(third)) }, 0},
		{"the first learns", func() { first.Synced(); audits[0].scan() }, 0},
		{"it ends", func() { audits[0].close() }, 0},
		{"the second ends without having learned", func() { audits[1].close() }, 1},
		{"the last one ends", func() { audits[2].close() }, 1},
	} {
		step.do()
		if got := knownIn(zone); got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}
