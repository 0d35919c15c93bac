package membership

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

// claimant returns a node that is alive, of an object that was created so many seconds after others.
func claimant(namespace string, created uint32, m kubeapi.Member, is ...func(*Node)) Node {
	n := Node{
		Member: &m, Listed: true,
		object: &kubeapi.Object{Template: &kubeapi.Template{Namespace: namespace}, Created: 1000 + created, Members: []kubeapi.Member{m}},
		text:   "app@" + m.Address.String() + ".", at: uint8(len("app@")),
	}
	for _, change := range is {
		change(&n)
	}
	return n
}

func ends(n *Node)     { n.ends = true }
func suspect(n *Node)  { n.Suspect = true }
func unlisted(n *Node) { n.Listed = false }
func absent(n *Node)   { n.Suspect, n.absent = true, true }

// as starts the node with another longname than its address makes.
func as(longname string) func(*Node) {
	return func(n *Node) { n.text, n.at = longname+".", uint8(strings.Index(longname, "@")+1) }
}

// TestOwner has a row for each rule, in their order. Where nodes are alike, a later rule would decide otherwise.
func TestOwner(t *testing.T) {
	const address = "10.0.0.1" // the owner's
	pod := func(address string) kubeapi.Member { return endpoint("web-0", address) }
	for _, tc := range []struct {
		name, claimed string
		nodes         []Node
	}{
		{"of namespaces, one whose node does not end", "web-0", []Node{claimant("prod", 1, pod(address)), claimant("old", 0, pod("10.0.0.2"), ends)}},
		{"of namespaces, one whose node is not absent", "web-0", []Node{claimant("prod", 1, pod(address)), claimant("old", 0, pod("10.0.0.2"), absent)}},
		{"of namespaces, one with a pod", "web-0", []Node{claimant("prod", 1, pod(address)), claimant("evil", 0, manual("web-0", "10.0.0.2"))}},
		{"of namespaces, the one of the oldest object", "web-0", []Node{claimant("prod", 0, pod(address)), claimant("evil", 1, pod("10.0.0.2"))}},
		{"of namespaces, the first by name", "web-0", []Node{claimant("a", 0, pod(address)), claimant("b", 0, pod("10.0.0.2"))}},
		{"of namespaces, whether or not a probe fails", "web-0", []Node{claimant("prod", 0, pod(address), suspect), claimant("evil", 1, pod("10.0.0.2"))}},
		{"of namespaces, whether or not a node is listed", "web-0", []Node{claimant("prod", 0, pod(address), unlisted), claimant("evil", 1, pod("10.0.0.2"))}},
		{"of namespaces, however good a claim is", "web-0", []Node{claimant("prod", 0, pod(address)), claimant("evil", 1, called("web-0", endpoint("x", "10.0.0.2")))}},
		{"of a namespace that one of its nodes wins, the best of it", "web-0", []Node{
			claimant("prod", 2, pod(address)), claimant("prod", 0, pod("10.0.0.2"), suspect), claimant("evil", 1, pod("10.0.0.3")),
		}},
		{"within one, a node that is alive before one that ends", "web-0", []Node{claimant("prod", 1, pod(address)), claimant("prod", 0, called("web-0", pod("10.0.0.2")), ends)}},
		{"within one, a node that ends before a suspect", "web-0", []Node{claimant("prod", 1, pod(address), ends), claimant("prod", 0, called("web-0", pod("10.0.0.2")), suspect)}},
		{"within one, a suspect before a node that is not listed", "web-0", []Node{claimant("prod", 1, pod(address), suspect), claimant("prod", 0, called("web-0", pod("10.0.0.2")), unlisted)}},
		{"within one, a node that is not listed before an absent one", "web-0", []Node{claimant("prod", 1, pod(address), unlisted), claimant("prod", 0, called("web-0", pod("10.0.0.2")), absent)}},
		{"within one, a hostname before the name of a pod", "web-0", []Node{claimant("prod", 1, manual("web-0", address)), claimant("prod", 0, pod("10.0.0.2"))}},
		{"within one, a pod before an address by hand", "web-0", []Node{claimant("prod", 1, called("web-0", pod(address))), claimant("prod", 0, manual("web-0", "10.0.0.2"))}},
		{"within one, the oldest object", "web-0", []Node{claimant("prod", 0, pod(address), as("app@b")), claimant("prod", 1, pod("10.0.0.2"), as("app@a"))}},
		{"within one, the first host part", "web-0", []Node{claimant("prod", 0, pod(address), as("b@a")), claimant("prod", 0, pod("10.0.0.2"), as("a@b"))}},
		{"within one, the first longname", "web-0", []Node{claimant("prod", 0, pod(address), as("a@h")), claimant("prod", 0, pod("10.0.0.2"), as("b@h"))}},
		{"of an address, whoever is older, for all claim it alike", "", []Node{claimant("prod", 0, endpoint("x", address)), claimant("prod", 1, called("web-0", endpoint("y", "10.0.0.2")))}},
		{"the only one", "another-name", []Node{claimant("prod", 0, pod(address))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := make([]*Node, len(tc.nodes))
			for i := range tc.nodes {
				nodes[i] = &tc.nodes[i]
			}
			for range 2 { // in both orders
				if got := Owner(tc.claimed, nodes).Address().String(); got != address {
					t.Errorf("got the node at %s, want that at %s", got, address)
				}
				slices.Reverse(nodes)
			}
		})
	}
}

func TestOwners(t *testing.T) {
	shares := func(created uint32, pod, address string, is ...func(*Node)) Node {
		return claimant("prod", created, called("web", endpoint(pod, address)), is...)
	}
	for _, tc := range []struct {
		name  string
		nodes []Node
		want  []string
	}{
		{"pods that share a hostname", []Node{shares(0, "a", "10.0.0.1"), shares(1, "b", "10.0.0.2")}, []string{"10.0.0.1", "10.0.0.2"}},
		{"without one that ends", []Node{shares(0, "a", "10.0.0.1", ends), shares(1, "b", "10.0.0.2")}, []string{"10.0.0.2"}},
		{"without a suspect", []Node{shares(0, "a", "10.0.0.1", suspect), shares(1, "b", "10.0.0.2")}, []string{"10.0.0.2"}},
		{"suspects that share it", []Node{shares(0, "a", "10.0.0.1", suspect), shares(1, "b", "10.0.0.2", suspect)}, []string{"10.0.0.1", "10.0.0.2"}},
		{"without a pod that is called so", []Node{claimant("prod", 0, endpoint("web", "10.0.0.1")), shares(1, "b", "10.0.0.2")}, []string{"10.0.0.2"}},
		{"without an address by hand", []Node{claimant("prod", 0, manual("web", "10.0.0.1")), shares(1, "b", "10.0.0.2")}, []string{"10.0.0.2"}},
		{"without another namespace", []Node{shares(0, "a", "10.0.0.1"), claimant("evil", 1, called("web", endpoint("b", "10.0.0.2")))}, []string{"10.0.0.1"}},
		{"one", []Node{shares(0, "a", "10.0.0.1", absent)}, []string{"10.0.0.1"}},
		{"none", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var nodes []*Node
			for i := range tc.nodes {
				nodes = append(nodes, &tc.nodes[i])
			}
			equal(t, "owners", addressesOf(Owners("web", nodes)), tc.want)
		})
	}
}

func addressesOf(nodes []*Node) (all []string) {
	for _, n := range nodes {
		all = append(all, n.Address().String())
	}
	return all
}

func TestByName(t *testing.T) {
	for _, tc := range []struct {
		name  string
		nodes []Node
		want  []string // as "name address,address"
		lost  []string // as "name address to address"
	}{
		{"a pod", []Node{claimant("prod", 0, endpoint("Web-0", "10.0.0.1"))}, []string{"10-0-0-1 10.0.0.1", "web-0 10.0.0.1"}, nil},
		{"a pod with a hostname", []Node{claimant("prod", 0, called("Web", endpoint("web-x1", "fd00::1")))}, []string{"fd00--1 fd00::1", "web fd00::1", "web-x1 fd00::1"}, nil},
		{"a pod that is called as its hostname", []Node{claimant("prod", 0, hosted(endpoint("web-0", "10.0.0.1")))}, []string{"10-0-0-1 10.0.0.1", "web-0 10.0.0.1"}, nil},
		{"an endpoint without a pod", []Node{claimant("prod", 0, manual("db", "10.0.0.1"))}, []string{"10-0-0-1 10.0.0.1", "db 10.0.0.1"}, nil},
		{"names that spell another address, a port, several labels or too much", []Node{
			claimant("prod", 0, called("10-0-0-2", endpoint("_tcp", "10.0.0.1"))), claimant("prod", 0, called("a.b", endpoint(strings.Repeat("a", 64), "10.0.0.3"))),
		}, []string{"10-0-0-1 10.0.0.1", "10-0-0-3 10.0.0.3"}, nil},
		{"a hostname that is the name of another pod", []Node{claimant("prod", 0, endpoint("web", "10.0.0.1")), claimant("prod", 1, called("web", endpoint("x", "10.0.0.2")))},
			[]string{"10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2", "web 10.0.0.2", "x 10.0.0.2"}, []string{"web 10.0.0.1 to 10.0.0.2"}},
		{"a hostname that pods share", []Node{claimant("prod", 0, called("web", endpoint("a", "10.0.0.1"))), claimant("prod", 1, called("web", endpoint("b", "10.0.0.2")))},
			[]string{"10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2", "a 10.0.0.1", "b 10.0.0.2", "web 10.0.0.1,10.0.0.2"}, nil},
		{"a hostname that a suspect shares", []Node{claimant("prod", 0, called("web", endpoint("a", "10.0.0.1")), suspect), claimant("prod", 1, called("web", endpoint("b", "10.0.0.2")))},
			[]string{"10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2", "a 10.0.0.1", "b 10.0.0.2", "web 10.0.0.2"}, nil},
		{"a pod whose other state had a hostname", []Node{claimant("prod", 0, called("web-0", endpoint("web-0", "10.0.0.1"))), claimant("prod", 1, endpoint("web-0", "10.0.0.2"))},
			[]string{"10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2", "web-0 10.0.0.1"}, nil},
		{"pods of two namespaces that are called alike", []Node{claimant("prod", 0, endpoint("web-0", "10.0.0.1"), suspect), claimant("evil", 1, endpoint("web-0", "10.0.0.2"))},
			[]string{"10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2", "web-0 10.0.0.1"}, []string{"web-0 10.0.0.2 to 10.0.0.1"}},
		{"an address that another namespace has written down", []Node{claimant("prod", 1, endpoint("a", "10.0.0.1")), claimant("evil", 0, manual("b", "10.0.0.1"))},
			[]string{"10-0-0-1 10.0.0.1", "a 10.0.0.1", "b 10.0.0.1"}, []string{"10-0-0-1 10.0.0.1 to 10.0.0.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			owners, losses := ByName(tc.nodes)
			var got, lost []string
			for _, name := range slices.Sorted(maps.Keys(owners)) {
				got = append(got, name+" "+strings.Join(addressesOf(owners[name]), ","))
			}
			for _, l := range losses {
				lost = append(lost, fmt.Sprintf("%s %s to %s", l.Name, l.Node.Address(), l.Owner.Address()))
			}
			equal(t, "owners", got, tc.want)
			equal(t, "lost", lost, tc.lost)
		})
	}
}

func TestIsNamed(t *testing.T) {
	n := claimant("prod", 0, called("Web", endpoint("web-x1", "10.0.0.1")))
	for name, want := range map[string]bool{"web": true, "web-x1": true, "10-0-0-1": true, "Web": false, "10-0-0-2": false, "x": false, "": false} {
		if got := n.IsNamed(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
}
