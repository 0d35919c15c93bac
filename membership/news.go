package membership

import (
	"net/netip"
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// news has what changes tell of pods, in whichever cluster.
type news struct {
	pods      map[identity]podNews
	addresses map[netip.Addr]bool // true if a pod gained it, false if its member terminates or is no pod
}

// podNews has what changes tell of a pod.
type podNews struct {
	ends  bool         // it terminates, anywhere
	had   []netip.Addr // of those addresses that may have changed
	gains []netip.Addr // addresses that it did not have before, anywhere
}

func newsOf(changes []kubeapi.Change) *news {
	n := &news{pods: make(map[identity]podNews, len(changes)), addresses: make(map[netip.Addr]bool, len(changes))}
	for _, change := range changes {
		eachDiffering(change.Old, change.New, func(m *kubeapi.Member) {
			n.tell(change.Old, m, func(p *podNews) { p.had = append(p.had, m.Address) })
		})
	}
	for _, change := range changes {
		eachDiffering(change.New, change.Old, func(m *kubeapi.Member) {
			n.tell(change.New, m, func(p *podNews) {
				if !slices.Contains(p.had, m.Address) {
					p.gains = append(p.gains, m.Address)
					n.addresses[m.Address] = n.addresses[m.Address] || m.IsPod // anybody may write down any address
				}
			})
		})
	}
	return n
}

// tell notes what an object tells of a member.
func (n *news) tell(o *kubeapi.Object, m *kubeapi.Member, note func(*podNews)) {
	pod := identityOf(o, m).withoutAddress()
	p := n.pods[pod]
	note(&p)
	if m.Terminating {
		p.ends = true
		if _, told := n.addresses[m.Address]; !told {
			n.addresses[m.Address] = false
		}
	}
	n.pods[pod] = p
}

// tellsOf reports whether the changes concern a suspect's pod or address.
func (n *news) tellsOf(s *Suspect) bool {
	_, told := n.addresses[s.Address()]
	return told || n.pods[s.identity().withoutAddress()].isNew()
}

// isAny reports whether the changes may concern any suspect.
func (n *news) isAny() bool { return len(n.addresses) > 0 }

func (p podNews) isNew() bool { return p.ends || len(p.gains) > 0 }

// suspects yields the keys of the state's index under which the suspects are that the changes concern.
func (n *news) suspects(do func(identity) bool) {
	for pod, p := range n.pods {
		if p.isNew() && !do(pod) {
			return
		}
	}
	for a := range n.addresses {
		if !do(identity{address: a}) {
			return
		}
	}
}

// eachDiffering goes through the members of an object that may differ in its other state. Both may
// be nil.
func eachDiffering(o, other *kubeapi.Object, do func(*kubeapi.Member)) {
	if o == nil {
		return
	}
	members := o.Members
	if other != nil && o.Namespace == other.Namespace && o.Service == other.Service {
		members = apart(members, other.Members, func(m, n *kubeapi.Member) bool { return *m == *n })
	}
	for i := range members {
		do(&members[i])
	}
}
