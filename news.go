package longnames

import (
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// news is what changes tell of pods, in whichever cluster.
type news struct {
	ends   map[identity]bool         // pods, anywhere, that terminate
	gains  map[identity][]netip.Addr // addresses that a pod, anywhere, did not have before
	gained map[netip.Addr]bool       // all of them
	told   map[identity]bool         // the pods, and addresses of any; a suspect may be of one
}

func newsOf(changes []kubeapi.Change) *news {
	n := &news{ends: make(map[identity]bool), gains: make(map[identity][]netip.Addr), gained: make(map[netip.Addr]bool), told: make(map[identity]bool)}
	had := make(map[identity]bool)
	tell := func(who identity) { n.told[who.anywhere()], n.told[identity{address: who.address}] = true, true }
	for _, change := range changes {
		eachDiffering(change.Old, change.New, func(m *kubeapi.Member) {
			who := whoIs(change.Old, m)
			had[who] = true
			if m.Terminating {
				n.ends[who.anywhere()] = true
				tell(who)
			}
		})
	}
	for _, change := range changes {
		eachDiffering(change.New, change.Old, func(m *kubeapi.Member) {
			who := whoIs(change.New, m)
			pod := who.anywhere()
			if m.Terminating {
				n.ends[pod] = true
				tell(who)
			}
			if !had[who] {
				n.gains[pod] = append(n.gains[pod], who.address)
				n.gained[who.address] = true
				tell(who)
			}
		})
	}
	return n
}

// eachDiffering goes through the members of an object that may differ in its other state. Both may
// be nil.
func eachDiffering(o, other *kubeapi.Object, do func(*kubeapi.Member)) {
	if o == nil {
		return
	}
	members := o.Members
	if other != nil && o.Template == other.Template {
		members = apart(members, other.Members, func(m, n *kubeapi.Member) bool { return *m == *n })
	}
	for i := range members {
		do(&members[i])
	}
}
