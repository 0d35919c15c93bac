package longnames

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/longnames/longnames/membership"
)

const (
	// auditLog is how many members that are left out, or clusters that fell, get a line each in one audit.
	auditLog = 10
	// A stream of changes shall not fill the log: of each kind there are quotaLines at most, and one more each
	// quotaPause. Metrics count all.
	quotaLines = 60
	quotaPause = 6 * time.Second
)

// quota bounds the lines of a kind.
type quota struct {
	limiter *rate.Limiter
	unsaid  int // lines, since the last that was said
}

func newQuota() *quota { return &quota{limiter: rate.NewLimiter(rate.Every(quotaPause), quotaLines)} }

// allows reports whether there may be a line, and otherwise counts it.
func (q *quota) allows() bool {
	if q.limiter.Allow() {
		return true
	}
	q.unsaid++
	return false
}

// each has some lines said, as far as they are allowed.
func (q *quota) each(lines int, say func(line int)) {
	for i := range min(lines, auditLog) {
		if q.allows() {
			say(i)
		}
	}
	q.unsaid += max(0, lines-auditLog)
}

// rest has it said how many lines there were more.
func (q *quota) rest(say func(unsaid int)) {
	if q.unsaid > 0 && q.limiter.Allow() {
		say(q.unsaid)
		q.unsaid = 0
	}
}

// fallWindow is the window of a peak. A peak covers one to two windows.
const fallWindow = 10 * time.Minute

// peak is the most that a cluster has listed lately. There may be very many clusters, and few of
// them change: it is brought up to date only then.
type peak struct {
	window int32 // in which that was last done, see audit.window
	before int32 // the most in the window before that one
	within int32 // the most in that one
	fallen bool  // fewer than half of the most are listed, of more than one
}

// newPeak is for a cluster that has listed nothing else before.
func newPeak(window, members int32) peak {
	return peak{window: window, within: members}
}

// after returns the peak once a cluster lists other members than it has since the last change.
func (p peak) after(window, had, has int32) peak {
	next := newPeak(window, max(had, has))
	switch window - p.window {
	case 0:
		next.before, next.within = p.before, max(p.within, next.within)
	case 1:
		next.before = p.within
	}
	next.fallen = 2*int(has) < next.most() && next.most() > 1
	return next
}

func (p peak) most() int { return int(max(p.before, p.within)) }

// window counts those of fallWindow since the audit began.
func (a *audit) window() int32 { return int32(time.Since(a.begin) / fallWindow) } //nolint:gosec // it takes 40 000 years

// loss is of a cluster that lists fewer than half of the members that it has listed lately: a rolling
// update does not get there. Suspects are still listed.
type loss struct {
	cluster  string
	from, to int
}

// tell counts and logs those who have fallen.
func (a *audit) tell(fallen []loss) {
	clusterFalls.WithLabelValues(a.zone.name).Add(float64(len(fallen)))
	log := zoneLog{a.zone.name}
	a.falls.each(len(fallen), func(i int) {
		f := fallen[i]
		log.Warningf("Cluster %s lists %d members, fewer than half of those (%d) that it has listed lately",
			a.zone.absolute(f.cluster), f.to, f.from)
	})
	a.falls.rest(func(unsaid int) { log.Warningf("And %d more clusters", unsaid) })
}

// namesLogged is how many suspects of a cluster a line of the log names.
const namesLogged = 10

// suspicion logs which suspects a cluster has got, and which it has no longer.
func (a *audit) suspicion(name string, before, now [][]*membership.Suspect) {
	if before == nil && now == nil {
		return
	}
	listed := make(map[string]bool)
	if c := a.resolver.cluster(name); c != nil {
		for _, n := range c.members(a.resolver).listed() {
			listed[n.Longname()] = true
		}
	}
	for i, t := range a.resolver.tables {
		var was, is []*membership.Suspect
		if before != nil {
			was = before[i]
		}
		if now != nil {
			is = now[i]
		}
		a.suspicionOf(t, name, was, is, listed)
	}
}

// suspicionOf does so for those of one block.
func (a *audit) suspicionOf(t *table, name string, before, now []*membership.Suspect, listed map[string]bool) {
	log, cluster := zoneLog{a.zone.name}, a.zone.absolute(name)
	was, is := make(map[string]membership.Reason), make(map[string]membership.Reason)
	for _, b := range before {
		was[b.Longname()] = b.Reason
	}
	var fresh [membership.Reasons][]string
	for _, n := range now {
		is[n.Longname()] = n.Reason
		if why, ok := was[n.Longname()]; !ok || why != n.Reason {
			fresh[n.Reason] = append(fresh[n.Reason], n.Longname())
		}
	}
	for why, names := range fresh {
		if len(names) > 0 && a.suspects.allows() {
			log.Warningf("Cluster %s: %s: %s; %s", cluster, suspected[why], summary(names), prospect(t.next(name), t.config.rules.Hold))
		}
	}
	var back, gone []string
	for _, b := range before {
		switch _, still := is[b.Longname()]; {
		case still:
		case listed[b.Longname()]:
			back = append(back, b.Longname())
		default:
			gone = append(gone, b.Longname())
		}
	}
	if len(back) > 0 && a.suspects.allows() {
		log.Infof("Cluster %s: no longer suspect: %s", cluster, summary(back))
	}
	if len(gone) > 0 && a.suspects.allows() {
		log.Warningf("Cluster %s: no longer members: %s", cluster, summary(gone))
	}
}

var suspected = [membership.Reasons]string{
	membership.Failing: "members fail their probes and are suspect",
	membership.Missing: "members have vanished without notice and are suspect",
	membership.Last:    "all members have ended, and the last ones stay in answers",
}

func summary(names []string) string {
	if more := len(names) - namesLogged; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesLogged], ", "), more)
	}
	return strings.Join(names, ", ")
}

// prospect says when suspects are given up.
func prospect(due time.Time, hold time.Duration) string {
	if due.IsZero() {
		return fmt.Sprintf("they stay in answers as long as few are alive, and %s more", hold)
	}
	return "they stay in answers, the next one until " + due.UTC().Format(time.TimeOnly) + " UTC unless more happens"
}
