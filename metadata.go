package longnames

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// What an answer is made from: the members as they are, or as they were last known before the
// start. Nobody knows while the answer is SERVFAIL.
const (
	stateFresh   = "fresh"
	stateStale   = "stale"
	stateUnknown = "unknown"
)

// Metadata implements metadata.Provider: it has labels for questions in our zones. It is called
// for each question, so that nothing is looked up before somebody reads a label.
func (l *Longnames) Metadata(ctx context.Context, state request.Request) context.Context {
	q, ok := questionOf(state.W, state.Req)
	if !ok || !l.hasZoneOf(q.name) {
		return ctx
	}
	a := &about{plugin: l, w: state.W, question: q}
	metadata.SetValueFunc(ctx, "longnames/zone", func() string { return a.read().zone })
	metadata.SetValueFunc(ctx, "longnames/cluster", func() string { return a.read().cluster })
	metadata.SetValueFunc(ctx, "longnames/members", func() string { return a.read().members })
	metadata.SetValueFunc(ctx, "longnames/state", func() string { return a.read().state })
	return ctx
}

// hasZoneOf reports whether a name lies in any of the zones.
func (l *Longnames) hasZoneOf(name string) bool {
	for zone := range ancestors(name) {
		if len(l.zones[zone]) > 0 {
			return true
		}
	}
	return false
}

// about is what there is to say about a question.
type about struct {
	plugin   *Longnames
	w        dns.ResponseWriter
	question question

	once sync.Once // fills the following, which do not change while the question is handled
	// zone is the one that it is answered from, or passed on from.
	zone string
	// cluster is the full name of the one that the question is about; empty if there is none.
	cluster string
	// members is how many are listed in that, as a number; empty if nobody knows.
	members string
	state   string
}

func (a *about) read() *about {
	a.once.Do(func() {
		by, reply, _ := a.plugin.resolve(a.w, &a.question, nil)
		r := by.block.resolver
		a.zone, a.state = by.zone.name, stateFresh
		switch {
		case reply.result == unavailable:
			a.state = stateUnknown
		case !r.table.synced.Load():
			a.state = stateStale
		}
		c := r.clusterOf(by.zone, &a.question)
		if c == nil {
			return
		}
		z := by.zone
		if z.reverse {
			z = r.config.first()
		}
		a.cluster = z.absolute(c.name)
		if a.state != stateUnknown {
			a.members = strconv.Itoa(c.members(r.config).listedFor(a.question.client))
		}
	})
	return a
}

// clusterOf returns the cluster that a question is about: its name is that cluster's, or lies
// below it, or is of one of its nodes; of several that have the node, the first by name. Nil
// if there is none.
func (r *resolver) clusterOf(z *zone, q *question) *view {
	if z.reverse {
		return r.clusterAt(q)
	}
	if c, _ := r.locate(z.relative(q.name)); c != nil {
		return c
	}
	return firstIn(r.table.hosts.in(q.name))
}

// clusterAt returns the cluster of the node at the address that a PTR question is about.
func (r *resolver) clusterAt(q *question) *view {
	prefix, ok := reversePrefix(q.name)
	if !ok || !prefix.IsSingleIP() {
		return nil
	}
	if r.table.indexed() {
		return firstIn(r.table.addresses.in(prefix.Addr()))
	}
	c := r.table.view("")
	if len(c.members(r.config).directory(r.config).byAddress[prefix.Addr()]) == 0 {
		return nil
	}
	return c
}

func firstIn(occurrences []occurrence) *view {
	if len(occurrences) == 0 {
		return nil
	}
	return slices.MinFunc(occurrences, func(a, b occurrence) int { return strings.Compare(a.view.name, b.view.name) }).view
}

// listedFor counts the longnames in the answer to a client: one that is not listed finds itself
// added.
func (m *members) listedFor(client netip.Addr) int {
	count := m.count
	for _, n := range m.waiting[client] { // one for each longname
		if !m.lists(n.Longname()) {
			count++
		}
	}
	return count
}

// lists reports whether a node of that longname is listed.
func (m *members) lists(text string) bool {
	at, _ := slices.BinarySearchFunc(m.nodes, text, func(n membership.Node, text string) int { return strings.Compare(n.Longname(), text) })
	for ; at < len(m.nodes) && m.nodes[at].Longname() == text; at++ {
		if m.nodes[at].Listed {
			return true
		}
	}
	return false
}
