package longnames

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longnames/longnames/kubeapi"
)

// table knows the members of all clusters of a block. It is written by the watch and
// read by questions, which never wait for it.
type table struct {
	config *config

	clusters  sync.Map // name → *cluster
	groups    names    // that lie between the zone and a cluster
	hosts     index[string]
	hostNames names
	addresses index[netip.Addr]
	reverse   addressSet
	serial    atomic.Uint32
	synced    atomic.Bool   // all is known that there was at the start
	done      chan struct{} // closed when synced becomes true

	mu      sync.Mutex // protects following; held by writers only
	misfits cluster    // has the objects that belong to no cluster
	dirty   map[*cluster]struct{}
	changed chan struct{} // has an element if dirty is not empty
}

var _ kubeapi.Sink = (*table)(nil)

func newTable(c *config) *table {
	t := &table{
		config:  c,
		dirty:   make(map[*cluster]struct{}),
		changed: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	t.misfits.roster.Store(&roster{})
	if c.groupLabel < 0 {
		t.clusters.Store("", newCluster("")) // a zone's apex always exists
	}
	return t
}

func newCluster(name string) *cluster {
	c := &cluster{name: name}
	c.roster.Store(&roster{})
	return c
}

// cluster gives the cluster of that name, nil if there is none.
func (t *table) cluster(name string) *cluster {
	c, _ := t.clusters.Load(name)
	found, _ := c.(*cluster)
	return found
}

// Synced implements kubeapi.Sink.
func (t *table) Synced() {
	t.synced.Store(true)
	close(t.done)
}

// takeDirty gives the clusters that have changed since it was last called.
func (t *table) takeDirty() []*cluster {
	t.mu.Lock()
	defer t.mu.Unlock()
	clusters := slices.Collect(maps.Keys(t.dirty))
	clear(t.dirty)
	return clusters
}

// Apply implements kubeapi.Sink. A change costs what its own clusters cost.
func (t *table) Apply(changes []kubeapi.Change, version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := make(map[*cluster]*edit)
	for _, change := range changes {
		if o := change.Old; o != nil {
			if home := t.home(o); home != nil {
				t.reindex(o, home, -1)
				e := editOf(edits, home)
				e.removed = append(e.removed, o)
			}
		}
		if o := change.New; o != nil {
			if home := t.home(o); home != nil {
				t.reindex(o, home, +1)
				e := editOf(edits, home)
				e.added = append(e.added, o)
			}
		}
	}
	for home, e := range edits {
		next := home.roster.Load().with(e.removed, e.added)
		home.roster.Store(next)
		t.dirty[home] = struct{}{}
		if len(next.objects) == 0 {
			t.remove(home)
		}
	}
	t.setSerial(version)
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// edit collects what changes in one cluster.
type edit struct{ removed, added []*kubeapi.Object }

func editOf(edits map[*cluster]*edit, c *cluster) *edit {
	if edits[c] == nil {
		edits[c] = &edit{}
	}
	return edits[c]
}

// home gives the cluster that o belongs to, and makes it if there is none; nil for an
// object that belongs to no group.
func (t *table) home(o *kubeapi.Object) *cluster {
	if t.config.groupLabel < 0 {
		return t.cluster("")
	}
	group := o.Labels[t.config.groupLabel]
	if !group.Set {
		return nil
	}
	label := strings.ToLower(group.Value)
	if !isLabel(label) {
		return &t.misfits
	}
	name := label + "." + o.Namespace
	if c := t.cluster(name); c != nil {
		return c
	}
	c := newCluster(name)
	t.clusters.Store(name, c)
	t.groups.add(name, +1)
	return c
}

// remove forgets a cluster that has become empty. A zone's apex always exists.
func (t *table) remove(c *cluster) {
	if c.name == "" {
		return
	}
	t.clusters.Delete(c.name)
	t.groups.add(c.name, -1)
}

// reindex counts the members of o in or out of the indexes over all clusters, as far as
// the zones ask for such.
func (t *table) reindex(o *kubeapi.Object, home *cluster, delta int) {
	c := t.config
	for i := range o.Members {
		m := &o.Members[i]
		if c.hasReverse() {
			t.addresses.add(m.Address, home, delta)
			t.reverse.reset()
		}
		if !c.hasHosts() {
			continue
		}
		if text, p := c.naming.host(o, m); p == noProblem {
			host := strings.ToLower(text) + "."
			t.hosts.add(host, home, delta)
			t.hostNames.add(host, delta)
		}
	}
}

// setSerial makes the SOA's serial from the version of the newest change, so that it is
// the same on all replicas and grows as RFC 1982 wants it.
func (t *table) setSerial(version uint64) {
	if serial := uint32(version); version != 0 && int32(serial-t.serial.Load()) > 0 { //nolint:gosec // serial arithmetic
		t.serial.Store(serial)
	}
}
