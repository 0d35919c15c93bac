// Package kubeapi turns the Pods or EndpointSlices of a Kubernetes cluster, or of
// manifest files, into Objects and keeps telling a Sink how they change.
//
// It knows nothing of DNS or Erlang, and it is the only importer of client-go.
package kubeapi

import (
	"net/netip"
	"slices"
	"time"
)

// Object is what is kept of one Pod or one EndpointSlice. It is immutable once it
// has been handed to a Sink.
type Object struct {
	*Template // what it has in common with others

	Name string
	// Version is the resourceVersion as a number; 0 if it is none.
	Version uint64
	// Members are the endpoints of a slice, one for each address, or the one pod;
	// none for a pod without an address.
	Members []Member
}

// Member is one address of an endpoint, or a pod.
type Member struct {
	// ID tells members of one namespace apart: a pod's name, or the UID of an endpoint's
	// other target; empty where nothing says who stands behind an address.
	ID       string
	Hostname string
	Address  netip.Addr
	IsPod    bool
	// Ready, Serving and Terminating are EndpointConditions of discovery.k8s.io/v1
	// with its defaults. For a pod, Terminating is a deletionTimestamp, Ready and
	// Serving are its Ready condition.
	Ready, Serving, Terminating bool
}

// Pod gives the pod's name, empty for an endpoint that is no pod.
func (m *Member) Pod() string {
	if m.IsPod {
		return m.ID
	}
	return ""
}

// Change replaces Old by New. Old is nil for a new object, New for a removed one. The members of
// one that is removed are Terminating if its last state has said so.
type Change struct {
	Old, New *Object
	// At is when it happened, as the object tells, to the second. It is nil if that does not
	// tell, and for what has not come by a watch: that may be changes of all objects at once,
	// so it is not to be large.
	At *time.Time
}

// Sink takes what a source sees. It is told one thing at a time.
type Sink interface {
	// Apply takes changes that belong together, at most one for each object. There are none if
	// Source.Touch was called.
	Apply(changes []Change)
	// Restored says, at most once and before Synced, that what has been applied so far is
	// what was last known, from before this source began: it may be out of date.
	Restored()
	// Synced says, once, that every object that there was has been applied.
	Synced()
}

// Logger takes messages for the operator, printf style.
type Logger interface {
	Debugf(format string, v ...any)
	Infof(format string, v ...any)
	Warningf(format string, v ...any)
	Errorf(format string, v ...any)
}

// same tells whether o and p differ in their version at most.
func (o *Object) same(p *Object) bool {
	return o.Template.same(p.Template) && o.Name == p.Name &&
		slices.Equal(o.Members, p.Members)
}
