package kubeapi

import (
	"hash/maphash"
	"slices"
	"weak"
)

// Template is the part of an Object that the pods of one pod template have in common. Many objects share
// one, so it is never written to once an object has been handed out.
type Template struct {
	Namespace string
	// Labels are the values of Config.Labels, in that order.
	Labels []Label
	// Service is a slice's kubernetes.io/service-name or a pod's spec.subdomain.
	Service string
	// Ports are the named ports, MaxPorts at most, in their order in the object if it has no more.
	Ports []Port
	// Invalid are the first addresses that cannot be parsed, or that no node can have, as far as they can be
	// logged. Hardly any object has such, so here they cost the others least.
	Invalid []string
	// Cut lists the limits that the object exceeds, as in "100 named ports".
	Cut []string
}

// Label is the value of one label, and whether the object has it at all.
type Label struct {
	Value string
	Set   bool
}

// Port is a named port of a container or of an endpoint.
type Port struct {
	Name string
	// Protocol is TCP, UDP or SCTP.
	Protocol string
	Number   uint16
}

func (t *Template) sameTemplate(o *Template) bool {
	return t == o || t.Namespace == o.Namespace && t.Service == o.Service && slices.Equal(t.Cut, o.Cut) &&
		slices.Equal(t.Labels, o.Labels) && slices.Equal(t.Ports, o.Ports) && slices.Equal(t.Invalid, o.Invalid)
}

// hash returns a hash that is equal for templates that are the same.
func (t *Template) hash(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	maphash.WriteComparable(&h, [...]string{t.Namespace, t.Service})
	for _, l := range t.Labels {
		maphash.WriteComparable(&h, l)
	}
	for _, p := range t.Ports {
		maphash.WriteComparable(&h, p)
	}
	for _, text := range t.Invalid {
		maphash.WriteComparable(&h, text)
	}
	return h.Sum64()
}

// templates are those that objects share, each for as long as an object has it. It
// is for one goroutine at a time.
type templates struct {
	seed  maphash.Seed
	known map[uint64]weak.Pointer[Template]
	limit int // of known, before it is looked through for those that are gone
}

const fewTemplates = 64

func newTemplates() *templates {
	return &templates{seed: maphash.MakeSeed(), known: make(map[uint64]weak.Pointer[Template]), limit: fewTemplates}
}

// shared returns a template that is the same as t, t itself if there is no other.
func (ts *templates) shared(t *Template) *Template {
	k := t.hash(ts.seed)
	if known := ts.known[k].Value(); known != nil && known.sameTemplate(t) {
		return known
	}
	if len(ts.known) >= ts.limit {
		ts.sweep()
	}
	ts.known[k] = weak.Make(t)
	return t
}

func (ts *templates) sweep() {
	live := make(map[uint64]weak.Pointer[Template]) // deleting does not make a map smaller
	for k, p := range ts.known {
		if p.Value() != nil {
			live[k] = p
		}
	}
	ts.known, ts.limit = live, max(fewTemplates, 2*len(live))
}
