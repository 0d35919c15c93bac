package membership

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/longnames/longnames/kubeapi"
)

// Node is a member, or a candidate that is not listed, with its name.
type Node struct {
	Member  *kubeapi.Member
	Ports   []kubeapi.Port
	object  *kubeapi.Object // that tells of the member
	text    string          // the longname and a dot, so that all its parts are slices of it
	at      uint8           // where the host part begins, which lies within maxLongname
	Listed  bool
	Suspect bool // it is listed, but not alive
	absent  bool // it is a suspect of which no object tells any more
	ends    bool // an object says that it terminates
	// Block is the block that has the node, of several that share a zone.
	Block uint16
}

// Longname returns the name that the node was started with.
func (n *Node) Longname() string { return n.text[:len(n.text)-1] }

// Host returns the part of the longname behind the @, with a final dot.
func (n *Node) Host() string { return n.text[n.at:] }

// Address returns the node's address.
func (n *Node) Address() netip.Addr { return n.Member.Address }

// Created returns when the object was created that tells of the node, in seconds since 1970; 0 if it does not tell.
func (n *Node) Created() uint32 { return n.object.Created }

// IsAlive reports whether the node is listed and is neither suspect nor about to end.
func (n *Node) IsAlive() bool { return n.Listed && !n.Suspect && !n.ends }

// rank orders nodes that have the same name or address, as a pod of a StatefulSet and the one that
// replaces it: the greater, the likelier it is alive.
func (n *Node) rank() int {
	switch {
	case n.absent:
		return 0
	case !n.Listed:
		return 1
	case n.Suspect:
		return 2
	case n.ends:
		return 3
	}
	return 4
}

// Doubt orders listed nodes: those that are alive come first, those that are gone last.
func (n *Node) Doubt() int {
	switch {
	case n.absent:
		return 2
	case n.Suspect:
		return 1
	}
	return 0
}

// identity returns the node's identity.
func (n *Node) identity() identity { return identityOf(n.object, n.Member) }

// alone returns an object that tells of the node alone.
func (n *Node) alone() *kubeapi.Object {
	o := *n.object
	o.Members = []kubeapi.Member{*n.Member}
	return &o
}

// LeftOut is a candidate that has no longname.
type LeftOut struct {
	Object  *kubeapi.Object
	What    string // the pod or the address
	Problem Problem
	Block   uint16 // see Node
}

// nameOf tries what each object tells of a candidate until it makes a longname: only the
// slices of one service may know a pod's hostname. If none does, it returns the first
// problem.
func (n *Naming) nameOf(cand *candidate) (Node, entry, Problem) {
	if n.PodNames {
		byHostname := *n
		byHostname.PodNames = false
		if node, e, p := byHostname.nameOf(cand); p == NoProblem {
			return node, e, p
		}
	}
	first := NoProblem
	for _, e := range cand.entries {
		text, at, p := n.longname(e.object, e.member)
		if p == NoProblem {
			return Node{
				Member: cand.withHostname(e.member),
				Ports:  cand.ports,
				object: e.object,
				text:   text,
				at:     uint8(at), //nolint:gosec // no longname is longer than maxLongname
				Listed: cand.passes,
				ends:   cand.ends,
			}, e, NoProblem
		}
		if first == NoProblem {
			first = p
		}
	}
	return Node{}, cand.entries[0], first
}

func describe(e entry) string {
	if e.member.IsPod {
		return "pod " + Quote(e.member.ID) + " at " + e.member.Address.String()
	}
	return "address " + e.member.Address.String()
}

// mostQuoted is how many bytes there are of a quoted name: nothing that Kubernetes knows is called so.
const mostQuoted = 100

// Quote returns a name as it is if all its characters are common in names, and in quotes otherwise. Then it may be
// cut off.
func Quote(name string) string {
	if name != "" && len(name) <= maxLongname && strings.Trim(name, "-.0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" {
		return name
	}
	quoted := strconv.Quote(name[:min(len(name), mostQuoted)])
	if len(name) > mostQuoted || len(quoted) > mostQuoted {
		quoted = quoted[:min(len(quoted), mostQuoted)] + "…"
	}
	return strings.ToValidUTF8(quoted, "")
}
