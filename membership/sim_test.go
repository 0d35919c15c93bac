package membership

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// fate is what befalls a cluster of n nodes, which are numbered from 1 on.
type fate struct {
	name   string
	events []happening
	length time.Duration
	lives  func(node int, at time.Duration) bool // whatever Kubernetes says

	missed int // seconds that living nodes may be missing, summed over all
	dead   int // seconds that dead nodes may be listed, likewise; these follow from the rule
}

// happening is what Kubernetes says of a pod from a time on: it is ready (an empty mark), fails (!),
// terminates (~) or is gone (x).
type happening struct {
	at   time.Duration
	node int
	mark string
}

// fates are those that the rule was chosen by.
func fates(n int) []fate {
	const (
		sec  = time.Second
		hold = int(defaultHold / sec)
	)
	most, half, fifth := (n*3+4)/5, n/2, n/5
	always := func(node int, _ time.Duration) bool { return node <= n }
	until := func(dead int, at time.Duration) func(int, time.Duration) bool {
		return func(node int, now time.Duration) bool { return node <= n && (node > dead || now < at) }
	}
	// random returns times in an interval, the same in each run.
	random := func(from, length time.Duration) func() time.Duration {
		r := rand.New(rand.NewPCG(1, 2))
		return func() time.Duration { return from + time.Duration(r.Int64N(int64(length))) }
	}
	// outage has the probes of some fail, and recover after a time.
	outage := func(count int, fail, recover, length time.Duration) (all []happening) {
		begin, end := random(10*sec, fail), random(10*sec+length, recover)
		for node := 1; node <= count; node++ {
			all = append(all, happening{begin(), node, "!"}, happening{end(), node, ""})
		}
		return all
	}
	// loss has some vanish one after the other, and return one by one.
	loss := func(count int, over, away, back time.Duration) (all []happening) {
		for node := 1; node <= count; node++ {
			share := func(d time.Duration) time.Duration { return d * time.Duration(node) / time.Duration(count) }
			all = append(all, happening{10*sec + share(over), node, "x"}, happening{10*sec + away + share(back), node, ""})
		}
		return all
	}
	// death has some die at once, as is said by a mark or by none.
	death := func(count int, mark string) (all []happening) {
		for node := 1; node <= count; node++ {
			all = append(all, happening{10 * sec, node, mark})
		}
		return all
	}
	// flap has two nodes fail in turn for so many times 20 s, after a third one has died.
	flap := func(times int, mark string) []happening {
		all := []happening{{10 * sec, 3, mark}}
		for i := range times {
			at := time.Duration(10+20*i) * sec
			all = append(all, happening{at, 1, "!"}, happening{at + 10*sec, 1, ""}, happening{at + 10*sec, 2, "!"}, happening{at + 20*sec, 2, ""})
		}
		return all
	}
	third := func(node int, at time.Duration) bool { return node <= n && (node != 3 || at < 10*sec) }
	// An update replaces a node by one with a number that is greater by n, each three seconds; of a
	// great cluster some at a time.
	some := max(1, n/50)
	replaced := func(node int) time.Duration { return time.Duration((node+some-1)/some) * 3 * sec }
	update := func(announced func(node int) bool) (all []happening) {
		for node := 1; node <= n; node++ {
			if announced(node) {
				all = append(all, happening{replaced(node) - 2*sec, node, "~"})
			}
			all = append(all, happening{replaced(node), node, "x"}, happening{replaced(node), n + node, "!"}, happening{replaced(node) + 2*sec, n + node, ""})
		}
		return all
	}
	updated := func(announced func(node int) bool) func(int, time.Duration) bool {
		return func(node int, at time.Duration) bool {
			if node > n {
				return node <= 2*n && at >= replaced(node-n)+2*sec
			}
			end := replaced(node)
			if announced(node) {
				end -= 2 * sec
			}
			return at < end
		}
	}
	yes, no := func(int) bool { return true }, func(int) bool { return false }
	notFifth := func(node int) bool { return node%5 != 0 }
	updateTime := replaced(n) + 90*sec

	var scaled, both, waves, again, churn, lead, mild, broken []happening
	for node := 1; node <= n; node++ {
		scaled = append(scaled, happening{10 * sec, node, "~"}, happening{15 * sec, node, "x"})
		broken = append(broken, happening{5 * sec, node, "!"})
	}
	broken = append(broken, happening{60 * sec, 1, "x"})
	for node := 1; node <= n*4/5; node++ {
		mark, back := "!", 120*sec
		if node%2 == 0 {
			mark, back = "x", 180*sec
		}
		both = append(both, happening{10*sec + time.Duration(node)*20*time.Millisecond, node, mark},
			happening{back + 30*sec*time.Duration(node)/time.Duration(n), node, ""})
	}
	waves = append(waves, happening{10 * sec, 1, "!"})
	for node := 2; node <= (n+1)/2; node++ {
		for i := range 60 {
			at := time.Duration(20+60*i) * sec
			waves = append(waves, happening{at, node, "!"}, happening{at + 20*sec, node, ""})
		}
	}
	for node := 1; node <= most; node++ {
		again = append(again, happening{10 * sec, node, "x"}, happening{12 * sec, n + node, "!"}, happening{40*sec + time.Duration(node)*sec/4, n + node, ""})
	}
	guests := min(1000, 100_000/n)
	for i := range guests {
		at := 10*sec + time.Duration(i)*200*time.Millisecond
		churn = append(churn, happening{at, 2*n + i + 1, ""}, happening{at + 2*sec, 2*n + i + 1, "x"})
	}
	for node := 2; node <= n; node++ {
		lead = append(lead, happening{sec, node, "!"})
	}
	lead = append(lead, happening{700 * sec, 1, "!"}, happening{710 * sec, 2, ""})
	mild = append(mild, happening{10 * sec, 1, "x"})
	for node := 2; node <= n*9/10; node++ {
		mild = append(mild, happening{35*sec + time.Duration(node)*sec/time.Duration(n), node, "!"}, happening{400*sec + 60*sec*time.Duration(node)/time.Duration(n), node, ""})
	}
	// Of five, too many may fail slowly before it shows that most do.
	slow := 0
	if n == 5 {
		slow = 40
	}
	minute := 120 - hold // of those that lose their label for two, each
	long := patience * hold
	limit, stay := max(minSuspects, n+10), hold // of the guests that vanish, of whom ten are alive at once
	if 2*n < n+10 {
		stay = long // the last ones, for few are alive when they are gone
	}
	return []fate{
		{"outage of 5 min: fail in 30 s, recover in 10 s", outage(n, 30*sec, 10*sec, 300*sec), 480 * sec, always, 0, 0},
		{"outage of 5 min: fail in 30 s, recover in 2 min", outage(n, 30*sec, 120*sec, 300*sec), 600 * sec, always, 0, 0},
		{"outage of 5 min: fail in 2 min, recover in 10 s", outage(n, 120*sec, 10*sec, 300*sec), 600 * sec, always, slow, 0},
		{"80 % lose their label in 4 s, for 20 s", loss(n*4/5, 4*sec, 20*sec, 4*sec), 120 * sec, always, 0, 0},
		{"one probe fails for 15 s", []happening{{10 * sec, 1, "!"}, {25 * sec, 1, ""}}, 60 * sec, always, 0, 0},
		{"one dies, and fails", death(1, "!"), 120 * sec, until(1, 10*sec), 0, hold},
		{"rolling update, announced", update(yes), updateTime, updated(yes), 0, 0},
		{"rolling update, not announced", update(no), updateTime, updated(no), 0, n * hold},
		{"rolling update, each fifth end not announced", update(notFifth), updateTime, updated(notFifth), 0, fifth * hold},
		{"one dies, and fails; two flap for 13 min", flap(40, "!"), 840 * sec, third, 0, long},
		{"one dies, and fails; two flap for an hour", flap(180, "!"), 3660 * sec, third, 0, long},
		{"one dies, and vanishes; two flap for an hour", flap(180, "x"), 3660 * sec, third, 0, hold},
		{"scaled to nothing", scaled, 120 * sec, func(node int, at time.Duration) bool { return node <= n && at < 10*sec }, 0, n * hold},
		{"half lose their label over a minute, each for 2 min", loss(half, 60*sec, 120*sec, 60*sec), 600 * sec, always, half * minute, 0},
		{"60 % lose their label over a minute, each for 2 min", loss(most, 60*sec, 120*sec, 60*sec), 600 * sec, always, (half + 1 - (most+1)/2 + n/125) * minute, 0},
		{"60 % lose their label in 4 s, and return one by one", loss(most, 4*sec, 120*sec, 60*sec), 600 * sec, always, 0, 0},
		{"all vanish for 4 min, and return over 2 min", loss(n, 0, 240*sec, 120*sec), 720 * sec, always, 0, 0},
		{"20 % die at once, and vanish", death(fifth, "x"), 600 * sec, until(fifth, 10*sec), 0, fifth * hold},
		{"20 % die at once, and fail", death(fifth, "!"), 600 * sec, until(fifth, 10*sec), 0, fifth * hold},
		{"60 % die at once, and vanish", death(most, "x"), 600 * sec, until(most, 10*sec), 0, most * long},
		{"60 % die at once, and fail", death(most, "!"), 600 * sec, until(most, 10*sec), 0, most * 590},
		{"60 % die at once, and are replaced after 30 s", again, 600 * sec, func(node int, at time.Duration) bool {
			if node > n {
				return node <= n+most && at >= 40*sec+time.Duration(node-n)*sec/4
			}
			return node > most || at < 10*sec
		}, 0, most * (30 + (half-(n-most)+4)/4 + hold)},
		{"nobody passes for 20 min, recovery over 3 min", outage(n, 30*sec, 180*sec, 1200*sec), 1560 * sec, always, 0, 0},
		{"all but one fail for 20 min, recovery over 3 min", outage(n-1, 30*sec, 180*sec, 1200*sec), 1560 * sec, always, 0, 0},
		{"40 % fail for 2 min, 40 % vanish for 3 min", both, 600 * sec, always, n * 2 / 5 * hold, 0},
		{"one dies, and fails; half flap together for an hour", waves, 3660 * sec, until(1, 10*sec), 0, 2 * hold},
		{"five a second come, and vanish after 2 s", churn, 600 * sec, always, 0, min(guests*(2+stay), (limit+10)*guests/5+limit*stay)},
		{"only a leader is ready, another one takes over", lead, 2000 * sec, func(node int, at time.Duration) bool {
			return node == 1 && at < 700*sec || node == 2 && at >= 710*sec
		}, 0, (n-2)*2000 + 1300 + 710}, // all, all the time
		{"one dies, and vanishes; then 90 % fail for 6 min", mild, 900 * sec, until(1, 10*sec), 0, long},
		{"all fail but live, one dies and vanishes", broken, 1200 * sec, until(1, 60*sec), 0, hold},
	}
}

// live lets a cluster of n nodes live through a fate, and returns for how many seconds living nodes
// were missing and dead ones listed, in all. Each minute, CoreDNS is interrupted by one after the
// other, if by any.
func (f *fate) live(t *testing.T, n int, by []func(old *timeline, objects []*kubeapi.Object) *timeline) (missed, dead int) {
	t.Helper()
	fl := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	marks := make(map[int]string)
	for node := 1; node <= n; node++ {
		marks[node] = ""
	}
	nodes := 2 * n
	for _, e := range f.events {
		nodes = max(nodes, e.node)
	}
	fl.Apply(fl.changesToMarks(marks))
	events := slices.Clone(f.events)
	slices.SortStableFunc(events, func(a, b happening) int { return cmp.Compare(a.at, b.at) })
	var seen *Roster
	var listed map[int]bool // of its nodes
	begin := fl.now
	for at := time.Duration(0); at < f.length; at += time.Second {
		fl.pass(begin.Add(at).Sub(fl.now))
		for len(events) > 0 && events[0].at <= at {
			now := events[0].at
			for ; len(events) > 0 && events[0].at == now; events = events[1:] {
				if e := events[0]; e.mark == "x" {
					delete(marks, e.node)
				} else {
					marks[e.node] = e.mark
				}
			}
			fl.Apply(fl.changesToMarks(marks))
		}
		if len(by) > 0 && at%time.Minute == 40*time.Second {
			fl.timeline = by[int(at/time.Minute)%len(by)](fl.timeline, slices.Collect(maps.Values(fl.have)))
		}
		if r := fl.rosters[""]; r != seen {
			seen, listed = r, make(map[int]bool)
			alive := false
			for _, n := range fl.timeline.listed("") {
				listed[podAt(n.Address())] = true
				alive = alive || !n.Suspect
			}
			for node, mark := range marks {
				if mark == "~" && listed[node] && alive {
					t.Errorf("at %s: the end of %d was announced, and it is listed", at, node)
				}
			}
		}
		for node := 1; node <= nodes; node++ {
			switch lives := f.lives(node, at); {
			case lives && !listed[node]:
				missed++
			case !lives && listed[node]:
				dead++
			}
		}
	}
	return missed, dead
}

// TestFates checks that living nodes are never missing, and dead ones not listed for longer than the rule
// allows, whatever befalls a cluster.
func TestFates(t *testing.T) {
	for _, n := range []int{5, 50, 500} {
		for _, f := range fates(n) {
			for name, by := range map[string][]func(*timeline, []*kubeapi.Object) *timeline{"": nil, "reloads and restarts": {reload, restart}} {
				t.Run(fmt.Sprint(n, "/", f.name, "/", name), func(t *testing.T) {
					t.Parallel()
					missed, dead := f.live(t, n, by)
					t.Logf("living nodes missing for %d s, dead ones listed for %d s", missed, dead)
					if missed > f.missed || dead > f.dead {
						t.Errorf("want at most %d s and %d s", f.missed, f.dead)
					}
				})
			}
		}
	}
}
