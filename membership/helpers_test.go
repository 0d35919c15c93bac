package membership

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/internal/objects"
	"github.com/longnames/longnames/kubeapi"
)

var (
	slice       = objects.Slice
	named       = objects.Named
	endpoint    = objects.Endpoint
	hosted      = objects.Hosted
	unready     = objects.Unready
	terminating = objects.Terminating
	called      = objects.Called
	ported      = objects.Ported
	manyPorts   = objects.ManyPorts
	equal       = objects.Equal
)

type (
	labels = objects.Labels
	bits   = objects.Bits
)

// labelled gives an object the labels that some rules ask for.
func labelled(r *Rules, set labels, o *kubeapi.Object) *kubeapi.Object {
	return objects.Labelled(r.Source.Labels, set, o)
}

// defaultHold is the hold of rules that set none.
const defaultHold = 30 * time.Second

// rulesOf returns the rules that lines of a Corefile make, of which each has an option.
func rulesOf(t testing.TB, lines string) *Rules {
	t.Helper()
	source := &kubeapi.Config{Lookup: kubeapi.Endpoints}
	r := &Rules{Source: source, GroupLabel: -1, Naming: Naming{Mode: ModeIP, BasenameLabel: -1, Domain: "cluster.local"}, Hold: defaultHold}
	label := func(key string) int {
		if !slices.Contains(source.Labels, key) {
			source.Labels = append(source.Labels, key)
		}
		return slices.Index(source.Labels, key)
	}
	var group, basename string
	held := false
	for line := range strings.SplitSeq(lines, "\n") {
		option, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch option {
		case "":
		case "selector":
			source.Selector = args
		case "namespaces":
			source.Namespaces = strings.Fields(args)
		case "lookup":
			source.Lookup = kubeapi.Lookup(args)
		case "family":
			source.Family = kubeapi.Family(args)
		case "manifests":
			r.Edited = true
		case "include":
			r.Include = Include(args)
		case "endpoint_pod_names":
			r.Naming.PodNames = true
		case "group_by":
			group = args
		case "basename":
			if key, ok := strings.CutPrefix(args, "label "); ok {
				basename = key
			} else {
				r.Naming.Basename = args
			}
		case "mode":
			r.Naming.Mode = Mode(args)
		case "service":
			r.Naming.Service = args
		case "cluster_domain":
			r.Naming.Domain = args
		case "hold":
			held = true
			var err error
			if r.Hold, err = time.ParseDuration(args); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("unknown option %q", option)
		}
	}
	switch {
	case r.Include != "":
	case source.Lookup == kubeapi.Pods:
		r.Include = IncludeAll
	default:
		r.Include = IncludeReady
	}
	if group != "" {
		r.GroupLabel = label(group)
		source.Selector = strings.TrimPrefix(source.Selector+","+group, ",")
		if basename == "" && r.Naming.Basename == "" {
			basename = group
		}
	}
	if basename != "" {
		r.Naming.BasenameLabel = label(basename)
	}
	r.Edited = r.Edited && !held
	return r
}

// timeline is a state that is told changes as time goes by, and what its edits make of the clusters.
type timeline struct {
	*State
	t       testing.TB
	now     time.Time
	rosters map[string]*Roster   // of the clusters that are not empty, by name
	dues    map[string]time.Time // when the next suspect of each is given up, if one is
	ends    Ends                 // of suspects, in all
	changed []time.Time          // what questions see, in all
}

// ungroupedName is what the cluster of objects without a group is called here.
const ungroupedName = "-"

// newTimeline returns one whose state knows nobody.
func newTimeline(t testing.TB, r *Rules) *timeline {
	t.Helper()
	return &timeline{
		State: New(r), t: t, now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		rosters: make(map[string]*Roster), dues: make(map[string]time.Time),
	}
}

// timelineOf returns one whose state has seen objects and is synced.
func timelineOf(t testing.TB, r *Rules, objects ...*kubeapi.Object) *timeline {
	t.Helper()
	l := newTimeline(t, r)
	l.add(objects...)
	l.Synced()
	return l
}

// after returns the timeline of a new state with the same rules, at the same time.
func (l *timeline) after() *timeline {
	next := newTimeline(l.t, l.rules)
	next.now = l.now
	return next
}

// Apply applies changes now.
func (l *timeline) Apply(changes []kubeapi.Change) { l.take(l.State.Apply(changes, l.now)) }

// add applies each object as a change of its own.
func (l *timeline) add(objects ...*kubeapi.Object) {
	for _, o := range objects {
		if o.Labels == nil {
			labelled(l.rules, nil, o)
		}
		l.Apply([]kubeapi.Change{{New: o}})
	}
}

// Synced notes now that all has been applied that there was at the start.
func (l *timeline) Synced() { l.take(l.State.Synced(l.now)) }

// inherit takes over the suspects of another one, as a reload does.
func (l *timeline) inherit(old *timeline) { l.take(l.Inherit(old.State, l.now)) }

// restore takes over suspects, as a start with a snapshot does.
func (l *timeline) restore(suspects []kubeapi.Suspects) { l.take(l.Restore(suspects, l.now)) }

// expire gives up suspects now, and reports whether there are any to give up.
func (l *timeline) expire() bool {
	edits := l.Expire(l.now)
	l.take(edits)
	return len(edits) > 0
}

// pass lets time go by, in which suspects are given up in time.
func (l *timeline) pass(d time.Duration) {
	l.t.Helper()
	end := l.now.Add(d)
	for {
		at, ok := l.Due()
		l.checkDue(at, ok)
		if !ok || at.After(end) {
			break
		}
		l.now = later(l.now, at)
		if !l.expire() {
			l.t.Fatalf("at %s: nobody is given up, though the next one is due", l.now)
		}
	}
	l.now = end
}

// checkDue wants the next deadline to be the first that edits have told of.
func (l *timeline) checkDue(got time.Time, ok bool) {
	l.t.Helper()
	var want time.Time
	for _, at := range l.dues {
		if want.IsZero() || at.Before(want) {
			want = at
		}
	}
	if !got.Equal(want) || ok == want.IsZero() {
		l.t.Errorf("the next suspect is given up: got %s, want %s", got, want)
	}
}

// take notes what edits make of the clusters, each of which is as the edit before has left it.
func (l *timeline) take(edits []*Edit) {
	l.t.Helper()
	for _, e := range edits {
		name := e.Cluster.Name
		if e.Cluster == l.Ungrouped() {
			name = ungroupedName
		}
		if had := l.rosters[name]; had != e.Before && (had != nil || !e.Before.IsEmpty()) {
			l.t.Errorf("cluster %q: got an edit of another roster than it has", name)
		}
		l.rosters[name], l.dues[name] = e.After, e.Due
		l.changed = append(l.changed, e.Changed...)
		for end, n := range e.Ends {
			l.ends[end] += n
		}
		if e.After.IsEmpty() {
			delete(l.rosters, name)
		}
		if e.Due.IsZero() {
			delete(l.dues, name)
		}
	}
}

// listed returns the nodes of a cluster that are listed.
func (l *timeline) listed(cluster string) []Node {
	if r := l.rosters[cluster]; r != nil {
		return l.rules.listed(r)
	}
	return nil
}

// suspectsIn returns those of a cluster.
func (l *timeline) suspectsIn(cluster string) []*Suspect {
	if r := l.rosters[cluster]; r != nil {
		return r.Suspects
	}
	return nil
}

// reload replaces a state as a reload of the Corefile does.
func reload(old *timeline, objects []*kubeapi.Object) *timeline {
	next := old.after()
	next.add(objects...)
	next.Synced()
	next.inherit(old)
	return next
}

// restart replaces a state as a start with a snapshot does.
func restart(old *timeline, objects []*kubeapi.Object) *timeline {
	next := old.after()
	next.add(objects...)
	next.Restored()
	next.restore(old.Suspects())
	next.Synced()
	return next
}
