package longnames

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// stalled begins transfers that nobody reads.
func stalled(t *testing.T, l *Longnames, count int) []<-chan []dns.RR {
	t.Helper()
	all := make([]<-chan []dns.RR, count)
	for i := range all {
		sets, err := l.Transfer("erl.internal.", 0)
		if err != nil {
			t.Fatalf("transfer %d: %v", i, err)
		}
		all[i] = sets
	}
	return all
}

func TestTransfersAreAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := manyMembers(t, ipBlock, 1000)
		ended := make(chan struct{})
		l.ended = ended
		stalled(t, l, maxTransfers)
		begin := time.Now()
		_, err := l.Transfer("erl.internal.", 0)
		if took := time.Since(begin); !errors.Is(err, errManyTransfers) || took != transferTurn {
			t.Errorf("one more: got error %v after %s, want %v after %s", err, took, errManyTransfers, transferTurn)
		}
		if sets, err := l.Transfer("erl.internal.", 1); err != nil || len(drain(sets)) != 1 {
			t.Errorf("of a secondary that is up to date: got error %v, want the SOA record", err)
		}
		time.Sleep(transferIdle - transferTurn - time.Second) // those are given up a second later
		sets, err := l.Transfer("erl.internal.", 0)
		if err != nil {
			t.Fatalf("after %s: %v", time.Since(begin), err)
		}
		rrs := drain(sets)
		if first, last := rrs[0].Header().Rrtype, rrs[len(rrs)-1].Header().Rrtype; first != dns.TypeSOA || last != dns.TypeSOA {
			t.Errorf("got records from %v to %v, want a whole zone", rrs[0], rrs[len(rrs)-1])
		}
		close(ended)
	})
}

// Those that CoreDNS does not let go of, as it cannot write, are bounded too.
func TestTransfersThatAreStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := manyMembers(t, ipBlock, 1000)
		ended := make(chan struct{})
		l.ended = ended
		var stuck []<-chan []dns.RR
		for len(stuck) < maxOpenTransfers {
			stuck = append(stuck, stalled(t, l, maxTransfers)...)
			time.Sleep(transferIdle + time.Second)
		}
		begin := time.Now()
		if _, err := l.Transfer("erl.internal.", 0); !errors.Is(err, errManyTransfers) || time.Since(begin) > 0 {
			t.Errorf("one more: got error %v after %s, want %v at once", err, time.Since(begin), errManyTransfers)
		}
		for _, sets := range stuck[:2] { // as if these connections had been lost
			if got := drain(sets); len(got) != 0 {
				t.Errorf("got %d records of one that was given up, want none", len(got))
			}
		}
		sets, err := l.Transfer("erl.internal.", 0)
		if err != nil {
			t.Fatalf("after these have ended: %v", err)
		}
		drain(sets)
		close(ended)
		synctest.Wait()
		if open, turns := len(l.transfers.open), len(l.transfers.turns); open+turns > 0 {
			t.Errorf("at the end: got %d transfers, %d with a turn, want none", open, turns)
		}
	})
}

func TestTransferToSomebodySlow(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pause time.Duration // before each batch
		whole bool
	}{
		{"a slow link", transferIdle - time.Second, true},
		{"a link that is too slow in all", transferIdle - time.Second, false},
		{"a pause that is too long", transferIdle + time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				members := 1000
				if tc.name == "a link that is too slow in all" {
					members = int(transferLimit/tc.pause) * transferBatch / 4
				}
				l := manyMembers(t, ipBlock, members)
				begin := time.Now()
				sets, err := l.Transfer("erl.internal.", 0)
				if err != nil {
					t.Fatal(err)
				}
				var rrs []dns.RR
				for {
					time.Sleep(tc.pause)
					set, more := <-sets
					if !more {
						break
					}
					rrs = append(rrs, set...)
				}
				whole := len(rrs) > 0 && rrs[len(rrs)-1].Header().Rrtype == dns.TypeSOA
				if took := time.Since(begin); whole != tc.whole || took > transferLimit+2*tc.pause {
					t.Errorf("got %d records after %s, all of the zone: %t, want %t", len(rrs), took, whole, tc.whole)
				}
			})
		})
	}
}

// To make records takes time, too: the limit of a transfer holds whether or not somebody waits for them.
func TestTransferEndsAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handover{to: make(chan []dns.RR), deadline: time.Now().Add(transferLimit)}
		made := 0
		for h.add([]dns.RR{&dns.TXT{}}) && made < transferBatch-1 {
			time.Sleep(transferLimit / 10)
			made++
		}
		if made != 10 {
			t.Errorf("got %d records, each of which took a tenth of the limit, want 10", made)
		}
	})
}

// A transfer takes as much as there is to tell: not so much for each port and each member.
func TestCostOfATransferGrowsWithTheZone(t *testing.T) {
	block := "longnames erl.internal {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n lookup pods\n}"
	pods := hostileData{block: block, objects: func(_ *config, n int) []*kubeapi.Object {
		all := podsOf(n)
		for i, o := range all {
			ported(o, manyPorts(i)...)
		}
		return all
	}}
	var bytes [2]float64
	for i, n := range []int{20, 200} {
		l := pods.serve(t, n)
		bytes[i], _ = cost(1, 1, func() {
			sets, err := l.Transfer("erl.internal.", 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(drain(sets)); got < n*kubeapi.MaxPorts {
				t.Errorf("got %d records, want one for each of %d ports", got, n*kubeapi.MaxPorts)
			}
		})
	}
	if bytes[1] > 12*bytes[0] {
		t.Errorf("got %.0f bytes with 20 pods, and %.0f with ten times as many; want 12 times at most", bytes[0], bytes[1])
	}
}

// A transfer is of one state, however much changes before it is taken.
func TestTransferIsOfOneState(t *testing.T) {
	grouped := "longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n hold 0\n}"
	single := "longnames erl.internal 10.in-addr.arpa {\n selector a\n basename app\n mode hostname\n cluster_domain erl.internal\n hold 0\n fallthrough\n}"
	for name, blocks := range map[string][]string{
		"one cluster": {single}, "many clusters": {grouped},
		"blocks that share a zone": {single, strings.ReplaceAll(strings.ReplaceAll(single, "\n fallthrough", ""), "erl.internal", "other.internal")},
	} {
		t.Run(name, func(t *testing.T) {
			state := func(c *config, n int) *kubeapi.Object {
				endpoints := make([]kubeapi.Member, 1000)
				for i := range endpoints {
					endpoints[i] = hosted(endpoint(fmt.Sprintf("p%d-%d", n, i), fmt.Sprintf("10.%d.%d.%d", n, i/250, i%250)))
				}
				return labelled(c, labels{"app": fmt.Sprintf("web%d", n)}, slice("web", endpoints...))
			}
			synctest.Test(t, func(t *testing.T) { // where no serial changes meanwhile
				var tables []*table
				for _, text := range blocks {
					c := configOf(t, text)
					tables = append(tables, tableOf(c, state(c, 1)))
				}
				l := serving(tables...)
				for zone := range l.zones {
					want := rrsets(axfr(t, l, zone))
					sets, err := l.Transfer(zone, 0)
					if err != nil {
						t.Fatal(err)
					}
					got := <-sets
					for _, b := range tables {
						b.Apply([]kubeapi.Change{{Old: state(b.config, 1), New: state(b.config, 2)}})
					}
					got = append(got, drain(sets)...)
					if first, last := got[0].String(), got[len(got)-1].String(); first != last {
						t.Errorf("%s: got SOA records %s and %s, want one", zone, first, last)
					}
					if got := rrsets(got[1 : len(got)-1]); !maps.EqualFunc(got, want, slices.Equal) {
						t.Errorf("%s: got %d RRsets, want %d as they were at the beginning", zone, len(got), len(want))
					}
					for _, b := range tables {
						b.Apply([]kubeapi.Change{{Old: state(b.config, 2), New: state(b.config, 1)}})
					}
				}
			})
		})
	}
}
