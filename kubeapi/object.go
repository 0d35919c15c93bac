// Package kubeapi watches the Pods or EndpointSlices of a Kubernetes cluster, keeps
// little of each as an Object, and reports changes of Objects to Sinks.
//
// It knows nothing of DNS or Erlang, and it is the only importer of client-go. Package
// manifest reads Objects from files instead, and package snapshot keeps them on disk.
package kubeapi

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Object is the part of one Pod or EndpointSlice that is kept. It is immutable once it
// has been handed to a Sink.
type Object struct {
	*Template // shared with similar objects

	Name string
	// Version is the resourceVersion as a number; 0 if it is none.
	Version uint64
	// Created is the creationTimestamp in seconds since 1970; 0 if the object does not tell.
	Created uint32
	// Members are the endpoints of a slice, MaxMembers at most, or the one pod; none without an address.
	Members []Member
}

// Member is an endpoint or a pod. It has one address, its first, for Kubernetes defines no meaning for further ones.
type Member struct {
	// ID tells members of one namespace apart: a pod's name, or the UID of an endpoint's
	// other target; empty if the endpoint names no target.
	ID       string
	Hostname string
	Address  netip.Addr
	IsPod    bool
	// Ready, Serving and Terminating are EndpointConditions of discovery.k8s.io/v1. One that
	// is unset is true, false for Terminating, and as Ready for Serving. For a pod,
	// Terminating is a deletionTimestamp, Ready and Serving are its Ready condition.
	Ready, Serving, Terminating bool
}

// Pod returns the pod's name, empty for an endpoint that is no pod.
func (m *Member) Pod() string {
	if m.IsPod {
		return m.ID
	}
	return ""
}

// Same reports whether o and p differ in their version at most.
func (o *Object) Same(p *Object) bool {
	return o.sameTemplate(p.Template) && o.Name == p.Name && o.Created == p.Created &&
		slices.Equal(o.Members, p.Members)
}

// CompareObjects orders objects by namespace and name.
func CompareObjects(a, b *Object) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// Change replaces Old by New. Old is nil for a new object, New for a removed one. The members of
// a removed object are Terminating if its last state said so.
type Change struct {
	Old, New *Object
	// At is the time of the change, to the second. It is nil if the object does not tell, and for
	// everything that a watch did not bring: those may be changes of all objects at once,
	// so Change must not be large.
	At *time.Time
}

// Sink receives the changes of a source. Its methods are called one at a time.
type Sink interface {
	// Apply takes changes that belong together, at most one for each object. There are none if
	// Source.Touch was called.
	Apply(changes []Change)
	// Restored says, at most once and before Synced, that the changes so far are the state of
	// an earlier source, and may be out of date.
	Restored()
	// Synced says, once, that every object that there was has been applied; with Config.Partial, every one that may be
	// read.
	Synced()
}

// NamespaceSink is a Sink that is told of namespaces one by one, see Config.Partial.
type NamespaceSink interface {
	Sink
	// Unread says of which namespaces nothing has been read yet, and since when the API server forbids it (403), once
	// it has done so for some seconds; the time is zero otherwise. It is called before Synced, and again whenever that changes.
	Unread(namespaces map[string]time.Time)
}

// Suspects are the members of one cluster that a sink still lists though the source no longer has
// them, or not as before. All times are in UTC, for a snapshot has them as they are.
type Suspects struct {
	Pulse
	Members []Suspect
}

// Pulse has the count and the times by which a sink gives up the suspects of a cluster.
type Pulse struct {
	Most    int       `json:"most"` // of the cluster's members that were well at once
	Few     time.Time `json:"few,omitzero"`
	Enough  time.Time `json:"enough,omitzero"`
	Probes  time.Time `json:"probes,omitzero"`
	Returns time.Time `json:"returns,omitzero"`
}

// Suspect is one member of Suspects.
type Suspect struct {
	Object *Object // with this member alone
	Reason string
	Since  time.Time // it is suspect
	From   time.Time // the reason holds
}
