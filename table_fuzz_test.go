package longnames

import (
	"fmt"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// anyObject is anything that can be seen under one of a few names.
func anyObject(b *bits, c *config, service string) *kubeapi.Object {
	members := make([]kubeapi.Member, 0, 4)
	for i := range b.Next(4) {
		m := endpoint(fmt.Sprintf("%s-%d", service, i), []string{
			"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "fd00::1", "fd00::",
		}[b.Next(6)])
		flags := b.Next(64)
		m.Ready, m.Serving, m.Terminating = flags&1 == 0, flags&2 == 0, flags&4 != 0
		if flags&8 == 0 {
			m.Hostname = m.ID
		}
		if flags&16 != 0 {
			m.ID, m.IsPod = "", false
		}
		if flags&32 != 0 {
			m.Hostname = "web_0" // no label
		}
		members = append(members, m)
	}
	set := labels{"app": []string{"shop", "Shop", "chat", "no label", "x"}[b.Next(5)]}
	if b.Next(8) == 7 {
		set = nil
	}
	o := labelled(c, set, slice(service, members...))
	if b.Next(8) == 7 {
		o.Service = "s" // of another Service all of a sudden
	}
	return o
}

// FuzzTable changes a table in any way. Nodes can be found where they are at each time, and nowhere
// else; and the table has to answer as one that was told the outcome at once, when nothing is held
// or doubted any more. Members that fail stay as long as few others are alive.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"", "\x00\x01\x02\x03\x04\x05\x06", "aaaaabbbbbcccccdddddeeeee", "\x01\x03\x02\x00\x01\x02\x04\x09\x01\x03\x02\x00\x01\x02\x05\x09\x01\x00",
		"aeaccaa\x00\x00\x01\x00\\ccccc\x7fsssssssssssss\xff\xff\xffQQQQQQQQQQQQQQQQQ2QQQQQ",
		"aaaaab[bb-bdc\x80\xff\xffcddddeee"} {
		for block := range 4 {
			f.Add([]byte(seed), block)
		}
	}
	blocks := []string{
		"longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n hold 0\n}",
		"longnames erl.internal 10.0.0.0/8 d.f.ip6.arpa {\n group_by app\n mode dns\n include serving\n hold 0\n}",
		"longnames erl.internal 10.0.0.0/8 d.f.ip6.arpa {\n selector app\n basename label app\n hold 0\n}",
		"longnames erl.internal 10.0.0.0/8 d.f.ip6.arpa {\n group_by app\n}",
	}
	f.Fuzz(func(t *testing.T, data []byte, block int) {
		b := bits(data[:min(len(data), 300)])
		c := configOf(t, blocks[max(block, -block)%len(blocks)])
		stepwise := tableOf(c)
		have := make(map[string]*kubeapi.Object)
		for len(b) > 0 {
			var changes []kubeapi.Change
			first := b.Next(4)
			for i := range 1 + b.Next(3) {
				service := fmt.Sprint("s", (first+i)%4) // each object has one change at most
				var next *kubeapi.Object
				if b.Next(4) > 0 {
					next = anyObject(&b, c, service)
				}
				if have[service] == nil && next == nil {
					continue
				}
				changes = append(changes, kubeapi.Change{Old: have[service], New: next})
				if next == nil {
					delete(have, service)
				} else {
					have[service] = next
				}
			}
			stepwise.Apply(changes)
			checkPlaces(t, stepwise)
		}
		for hours := range 4 { // the end of some can give others their hold again
			stepwise.release(time.Now().Add(time.Duration(1+hours) * time.Hour))
		}
		if held := stepwise.suspects(); len(held) > 0 {
			for _, of := range held {
				for _, m := range of.Members {
					if m.Reason != membership.Failing.String() || of.Few.IsZero() {
						t.Errorf("%s is held, few %v, want failing ones alone, and those while few are alive", m.Reason, of.Few)
					}
				}
			}
			return
		}
		atOnce := tableOf(c)
		var changes []kubeapi.Change
		for _, o := range have {
			changes = append(changes, kubeapi.Change{New: o})
		}
		atOnce.Apply(changes)
		equal(t, "names", dump(t, stepwise), dump(t, atOnce))
	})
}
