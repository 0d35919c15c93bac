package membership

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// fleet is a cluster of numbered pods, of which objects tell.
type fleet struct {
	*timeline
	layout   func(pod int) string // the name of the object that tells of a pod
	have     map[string]*kubeapi.Object
	pods     map[int]kubeapi.Member
	template *kubeapi.Template // of all objects
}

// layouts are by what tells of pods.
var layouts = map[string]func(pod int) string{
	"one slice":    func(int) string { return "web" },
	"many slices":  func(pod int) string { return fmt.Sprint("web-", pod%3) },
	"objects each": func(pod int) string { return fmt.Sprint("web-", pod) },
}

func newFleet(t testing.TB, rules string, layout func(pod int) string) *fleet {
	t.Helper()
	r := rulesOf(t, rules)
	return &fleet{
		timeline: timelineOf(t, r), layout: layout, have: map[string]*kubeapi.Object{}, pods: map[int]kubeapi.Member{},
		template: labelled(r, nil, slice("web")).Template,
	}
}

// become changes the objects, one event each, so that they tell of pods: those of "1 2! 3~" are
// one that is ready, one whose probe fails, and one that terminates.
func (f *fleet) become(pods string) {
	for _, change := range f.changesTo(pods) {
		f.Apply([]kubeapi.Change{change})
	}
}

// becomeAtOnce is become in one step.
func (f *fleet) becomeAtOnce(pods string) { f.Apply(f.changesTo(pods)) }

func addressOfPod(number int) string { return fmt.Sprintf("10.0.%d.%d", number/250, number%250+1) }

// podAt returns the number of the pod that has an address.
func podAt(a netip.Addr) int {
	octets := a.As4()
	return int(octets[2])*250 + int(octets[3]) - 1
}

func (f *fleet) changesTo(pods string) []kubeapi.Change {
	marks := make(map[int]string)
	for text := range strings.FieldsSeq(pods) {
		number := strings.TrimRight(text, "!~")
		n, err := strconv.Atoi(number)
		if err != nil {
			panic(err)
		}
		marks[n] = text[len(number):]
	}
	return f.changesToMarks(marks)
}

// changesToMarks takes pods by number, each with the mark that it has in the text.
func (f *fleet) changesToMarks(marks map[int]string) []kubeapi.Change {
	next := make(map[string]*kubeapi.Object)
	for _, number := range slices.Sorted(maps.Keys(marks)) {
		m, ok := f.pods[number]
		if !ok {
			m = endpoint(fmt.Sprint("web-", number), addressOfPod(number))
			f.pods[number] = m
		}
		switch marks[number] {
		case "!":
			m = unready(m)
		case "~":
			m = terminating(m)
		}
		name := f.layout(number)
		if next[name] == nil {
			next[name] = labelled(f.rules, nil, named(name, slice("web")))
			next[name].Template = f.template
		}
		next[name].Members = append(next[name].Members, m)
	}
	names := make(map[string]bool)
	for name := range f.have {
		names[name] = true
	}
	for name := range next {
		names[name] = true
	}
	var changes []kubeapi.Change
	for name := range names {
		change := kubeapi.Change{Old: f.have[name], New: next[name]}
		if change.Old != nil && change.New != nil && slices.Equal(change.Old.Members, change.New.Members) {
			next[name] = change.Old
			continue
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b kubeapi.Change) int {
		return strings.Compare(nameIn(a), nameIn(b))
	})
	f.have = next
	return changes
}

func nameIn(c kubeapi.Change) string {
	if c.New != nil {
		return c.New.Name
	}
	return c.Old.Name
}

// listed returns the numbers of the pods that are listed; suspects follow after a bar.
func (f *fleet) listed() string {
	var alive, suspects []string
	for _, n := range f.timeline.listed("") {
		number := fmt.Sprint(podAt(n.Address()))
		if n.Suspect {
			suspects = append(suspects, number)
		} else {
			alive = append(alive, number)
		}
	}
	slices.Sort(alive)
	slices.Sort(suspects)
	if len(suspects) == 0 {
		return strings.Join(alive, " ")
	}
	return strings.TrimSpace(strings.Join(alive, " ") + " | " + strings.Join(suspects, " "))
}

// TestWhoIsListed has each sentence of the rule. Hold is 30 s.
func TestWhoIsListed(t *testing.T) {
	const (
		sec  = time.Second
		hold = defaultHold
		soon = hold - 1
	)
	type step struct {
		wait time.Duration // before
		pods string        // as become has it; - for no change
		want string
	}
	for _, tc := range []struct {
		name  string
		more  string // options
		steps []step
	}{
		{"what is announced leaves at once", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2 3~", "1 2"}, {0, "1 2", "1 2"}}},
		{"what fails is suspect, and given up", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2 | 3"}, {soon, "-", "1 2 | 3"}, {1, "-", "1 2"}}},
		{"what vanishes is suspect, and given up", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2", "1 2 | 3"}, {soon, "-", "1 2 | 3"}, {1, "-", "1 2"}}},
		{"what is alive again is not suspect", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 3!", "1 | 2 3"}, {0, "1 2 3", "1 2 3"}, {time.Hour, "-", "1 2 3"}}},
		{"a suspect leaves if its end is announced", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2 | 3"}, {0, "1 2 3~", "1 2"}}},
		{"while nobody passes, all that do not end are alive", "", []step{{0, "1 2 3 4~", "1 2 3"}, {0, "1! 2! 3! 4~", "1 2 3"}, {time.Hour, "-", "1 2 3"}, {0, "1! 2! 3~", "1 2"}}},
		{"boot with nobody ready", "", []step{{0, "1! 2! 3!", "1 2 3"}, {time.Hour, "1 2! 3!", "1 | 2 3"}, {time.Hour, "-", "1 | 2 3"}, {0, "1 2 3!", "1 2 | 3"}, {hold, "-", "1 2"}}},
		{"few are fewer than half", "", []step{
			{0, "1 2 3 4", "1 2 3 4"}, {0, "1 2 3! 4!", "1 2 | 3 4"}, {hold, "-", "1 2"}, // exactly half is believed
		}},
		{"while few are alive, failing ones are not given up", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2! 3!", "1 | 2 3"}, {100 * hold, "-", "1 | 2 3"},
			{0, "1 2 3!", "1 2 | 3"}, {soon, "-", "1 2 | 3"}, {1, "-", "1 2"},
		}},
		{"after few were alive, failing ones have hold", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2! 3!", "1 | 2 3"}, {100 * hold, "1 2! 3! 4", "1 4 | 2 3"}, {soon, "-", "1 4 | 2 3"}, {1, "-", "1 4"},
		}},
		{"few are of as many as were alive since the first became suspect", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2 | 3"}, {0, "1 2 3! 4 5 6", "1 2 4 5 6 | 3"}, {0, "1 2 3! 4! 5! 6!", "1 2 | 3 4 5 6"},
			{100 * hold, "-", "1 2 | 3 4 5 6"}, {0, "1 2 3! 4~ 5! 6!", "1 2 | 3 5 6"}, {hold, "-", "1 2"}, // less 4, which left
		}},
		{"while few are alive, missing ones stay ten times hold", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1", "1 | 2 3"}, {10*hold - 1, "-", "1 | 2 3"}, {1, "-", "1"},
		}},
		{"of missing ones, one that comes back gives the others time", "", []step{
			{0, "1 2 3 4 5", "1 2 3 4 5"}, {0, "1 2 3", "1 2 3 | 4 5"}, {20 * sec, "1 2 3 4", "1 2 3 4 | 5"}, {soon, "-", "1 2 3 4 | 5"}, {1, "-", "1 2 3 4"},
		}},
		{"of failing ones, one that fails or recovers gives the others time", "", []step{
			{0, "1 2 3 4 5 6 7", "1 2 3 4 5 6 7"}, {0, "1! 2 3 4 5 6 7", "2 3 4 5 6 7 | 1"}, {20 * sec, "1! 2! 3 4 5 6 7", "3 4 5 6 7 | 1 2"},
			{20 * sec, "1! 2 3 4 5 6 7", "2 3 4 5 6 7 | 1"}, {soon, "-", "2 3 4 5 6 7 | 1"}, {1, "-", "2 3 4 5 6 7"},
		}},
		{"from failing to missing, its own time begins anew", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2 | 3"}, {20 * sec, "1 2", "1 2 | 3"}, {soon, "-", "1 2 | 3"}, {1, "-", "1 2"},
		}},
		{"last, whoever left in the last change stays for hold", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3~", "1 2"}, {0, "1~ 2~", "| 1 2"}, {0, "", "| 1 2"}, {soon, "-", "| 1 2"}, {1, "-", ""},
		}},
		{"last, until somebody is listed", "", []step{{0, "1", "1"}, {0, "1~", "| 1"}, {0, "2!", "2"}}},
		{"all vanish", "", []step{{0, "1 2 3", "1 2 3"}, {0, "", "| 1 2 3"}, {10*hold - 1, "-", "| 1 2 3"}, {1, "-", ""}}},
		{"all vanish, and come back", "", []step{{0, "1 2 3", "1 2 3"}, {0, "", "| 1 2 3"}, {5 * hold, "1", "1 | 2 3"}, {5 * hold, "1 2", "1 2 | 3"}, {hold, "-", "1 2"}}},
		{"all fail, one vanishes", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1! 2! 3!", "1 2 3"}, {0, "1! 2!", "1 2 | 3"}, {hold, "-", "1 2"}}},
		{"hold 0 has no suspects", "hold 0", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {0, "1", "1"}, {0, "1! 2!", "1 2"}, {0, "", ""}}},
		{"another hold", "hold 5s", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2", "1 2 | 3"}, {5*sec - 1, "-", "1 2 | 3"}, {1, "-", "1 2"}}},
		{"include all lists what fails and what ends", "include all", []step{{0, "1 2! 3~", "1 2 3"}, {0, "1 2!", "1 2"}, {0, "1", "1 | 2"}}},
	} {
		for name, layout := range layouts {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				f := newFleet(t, "selector app=web\nbasename app\n"+tc.more, layout)
				for i, s := range tc.steps {
					f.pass(s.wait)
					if s.pods != "-" {
						f.becomeAtOnce(s.pods)
					}
					if got := f.listed(); got != s.want {
						t.Fatalf("step %d, %q: got %q, want %q", i+1, s.pods, got, s.want)
					}
				}
			})
		}
	}
}

// TestTenTimesHoldInAll has 1 fail for good and, so that it always has time left, 2 fail and recover in
// turn, and 3 vanish and come back.
func TestTenTimesHoldInAll(t *testing.T) {
	type step struct {
		pods  string
		lasts time.Duration
	}
	const few = " 2! 3! 4! 5! 6! 7 8 9"
	for _, tc := range []struct {
		name    string
		steps   []step
		one     string        // what is said of 1 from then on
		counted time.Duration // of the steps
	}{
		{"since it failed", nil, "1!", 0},
		{"since it failed, though it vanishes later", []step{{"1! 2 3 4 5 6 7 8 9", defaultHold - 10*time.Second}}, "", defaultHold - 10*time.Second},
		{"less the time in which few are alive", []step{{"1! 2 3 4 5 6 7 8 9", 0}, {"1!" + few, time.Hour}}, "1!", 0},
		{"less that in which few were alive already", []step{{"1" + few, time.Hour}, {"1!" + few, time.Hour}}, "1!", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
			f.become("1 2 3 4 5 6 7 8 9")
			for _, s := range tc.steps {
				f.becomeAtOnce(s.pods)
				f.pass(s.lasts)
			}
			check := func(want bool) {
				t.Helper()
				if got := slices.ContainsFunc(f.timeline.listed(""), func(n Node) bool { return podAt(n.Address()) == 1 }); got != want {
					t.Fatalf("listed: got %t, want %t", got, want)
				}
			}
			turns, turn := []string{" 2! 4 5 6 7 8 9", " 2 3 4 5 6 7 8 9"}, 10*time.Second
			for i := range int((10*defaultHold - tc.counted) / turn) {
				check(true)
				f.becomeAtOnce(tc.one + turns[i%2])
				f.pass(turn - 1)
				check(true)
				f.pass(1)
			}
			check(false)
		})
	}
}

// TestAChangeCostsWhatItChanges has as many allocations in a cluster of 1000 as in one of 10, while
// nobody is suspect.
func TestAChangeCostsWhatItChanges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(m kubeapi.Member) kubeapi.Member // and back
	}{
		{"a pod gets another address", func(m kubeapi.Member) kubeapi.Member { m.Address = netip.MustParseAddr("10.9.9.9"); return m }},
		{"a pod terminates", terminating},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var allocs []float64
			for _, members := range []int{10, 1000} {
				f := newFleet(t, "selector app\nbasename app\nlookup pods", layouts["objects each"])
				marks := make(map[int]string)
				for pod := range members {
					marks[pod] = ""
				}
				f.Apply(f.changesToMarks(marks))
				old := f.have["web-1"]
				now := *old
				now.Members = []kubeapi.Member{tc.change(old.Members[0])}
				forth, back := []kubeapi.Change{{Old: old, New: &now}}, []kubeapi.Change{{Old: &now, New: old}}
				allocs = append(allocs, testing.AllocsPerRun(10, func() { f.Apply(forth); f.Apply(back) }))
			}
			if allocs[1] > allocs[0]+1 {
				t.Errorf("got %v allocations with 10 members and %v with 1000, want as many", allocs[0], allocs[1])
			}
		})
	}
}
