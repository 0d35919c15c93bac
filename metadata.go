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

// An answer is made from the members as they are, or as they were last known before the start. They
// are unknown while the answer is SERVFAIL.
const (
	stateFresh   = "fresh"
	stateStale   = "stale"
	stateUnknown = "unknown"
)

// Metadata implements metadata.Provider: it has labels for questions in our zones. It is called for
// each question, so that nothing is looked up before a label is read.
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
		if l.zones[zone].zone != nil {
			return true
		}
	}
	return false
}

// about has the metadata of a question.
type about struct {
	plugin   *Longnames
	w        dns.ResponseWriter
	question question

	once sync.Once // fills the following, which do not change while the question is handled
	// zone is the one that it is answered from, or passed on from.
	zone string
	// cluster is the full name of the one that the question is about; empty if there is none.
	cluster string
	// members is how many are listed in that, as a number; empty if it is unknown.
	members string
	state   string
}

func (a *about) read() *about {
	a.once.Do(func() {
		by, reply, _ := a.plugin.resolve(a.w, &a.question, nil)
		r := by.resolver
		a.zone, a.state = by.zone.name, stateFresh
		switch _, isStale := r.knows(by.zone, &a.question); {
		case reply.result == unavailable:
			a.state = stateUnknown
		case isStale:
			a.state = stateStale
		}
		c, z := r.clusterOf(by.zone, &a.question)
		if c == nil {
			return
		}
		a.cluster = z.absolute(c.name)
		if in := a.plugin.zones[z.name].resolver; in != r { // its cluster of that name may have fewer members
			c, r = in.cluster(c.name), in
		}
		if a.state != stateUnknown && c != nil {
			a.members = strconv.Itoa(c.members(r).listedFor(a.question.client))
		}
	})
	return a
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
