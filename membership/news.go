package membership

import (
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// news has the changes of pods, in all clusters.
type news struct {
	pods      map[identity]podNews
	gains     map[identity]bool   // pods by addresses that they did not have before, anywhere
	addresses map[netip.Addr]bool // true if a pod gained it, false if its member terminates or is no pod
}

// podNews has the changes of one pod.
type podNews struct {
	ends      bool         // it terminates, anywhere
	four, six twoAddresses // of the addresses that it has gained
}

// twoAddresses are the first two different addresses of those that are added: enough to know if there is one other
// than a given one. Any number of members may have the name of one pod.
type twoAddresses [2]netip.Addr

func (k *twoAddresses) add(a netip.Addr) {
	switch {
	case !k[0].IsValid():
		k[0] = a
	case k[0] != a && !k[1].IsValid():
		k[1] = a
	}
}

func (k *twoAddresses) hasOther(a netip.Addr) bool {
	return k[0].IsValid() && k[0] != a || k[1].IsValid() && k[1] != a
}

func newsOf(changes []kubeapi.Change) *news {
	before, come, most := make([]*kubeapi.Object, 0, len(changes)), make([][]*kubeapi.Member, len(changes)), 0
	for i, change := range changes {
		if change.Old != nil {
			before = append(before, change.Old)
		}
		_, come[i] = differing(change.Old, change.New, haveOneService, isNamedAs)
		most += len(come[i])
	}
	n := &news{
		pods: make(map[identity]podNews, most), gains: make(map[identity]bool, most), addresses: make(map[netip.Addr]bool, most),
	}
	had := finder(before)
	for i, change := range changes {
		for _, m := range come[i] {
			if who := identityOf(change.New, m); !had(who) {
				n.gain(who, m.IsPod)
			}
		}
		n.ends(change.Old)
		n.ends(change.New)
	}
	return n
}

func haveOneService(o, p *kubeapi.Object) bool { return o.Service == p.Service }

// gain notes that a pod has an address that it did not have before. Another node of a hand-made object may have any.
func (n *news) gain(who identity, isPod bool) {
	n.gains[who] = true
	n.addresses[who.address] = n.addresses[who.address] || isPod
	pod := n.pods[who.withoutAddress()]
	if who.address.Is4() {
		pod.four.add(who.address)
	} else {
		pod.six.add(who.address)
	}
	n.pods[who.withoutAddress()] = pod
}

// ends notes the pods that terminate by an object, which may be nil.
func (n *news) ends(o *kubeapi.Object) {
	for _, m := range membersOf(o) {
		if !m.Terminating {
			continue
		}
		who := identityOf(o, m).withoutAddress()
		pod := n.pods[who]
		pod.ends = true
		n.pods[who] = pod
		if _, told := n.addresses[m.Address]; !told {
			n.addresses[m.Address] = false
		}
	}
}

// tellsOf reports whether the changes concern a suspect's pod or address.
func (n *news) tellsOf(s *Suspect) bool {
	_, told := n.addresses[s.Address()]
	return told || n.pods[s.identity().withoutAddress()].isNew()
}

// isAny reports whether the changes may concern any suspect.
func (n *news) isAny() bool { return len(n.addresses) > 0 }

func (p podNews) isNew() bool { return p.ends || p.four[0].IsValid() || p.six[0].IsValid() }

// announces reports whether the changes, or what pods now have, announce the end of a node.
func (n *news) announces(m *Node, has func(identity) bool) bool {
	who := m.identity()
	pod := n.pods[who.withoutAddress()]
	if m.ends || pod.ends {
		return true
	}
	return pod.moved(who.address) && m.Member.IsPod && !has(who)
}

// moved reports whether the pod has gained an address of the family of another one.
func (p *podNews) moved(from netip.Addr) bool {
	if from.Is4() {
		return p.four.hasOther(from)
	}
	return p.six.hasOther(from)
}

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
