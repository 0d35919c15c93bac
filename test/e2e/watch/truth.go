package watch

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Truth is what is right to answer. When nothing changes that is one set. While members come and go, it is anything from
// the set before to the set after: who is in both is in every answer, and who is in neither is in no answer.
type Truth struct {
	always, ever []string
	least        int
	any          bool // not only of ever
}

// Exactly accepts one set.
func Exactly(values []string) *Truth {
	return &Truth{always: values, ever: values, least: len(values)}
}

// AtLeast accepts every set that has so many values, some of them always.
func AtLeast(n int, always ...string) *Truth {
	return &Truth{always: always, ever: always, least: n, any: true}
}

// Between accepts every set on the way from one to another that has so many values at least.
func Between(before, after []string, least int) *Truth {
	t := &Truth{ever: slices.Concat(before, after), least: max(least, 1)}
	for _, v := range before {
		if slices.Contains(after, v) {
			t.always = append(t.always, v)
		}
	}
	return t
}

// The ways in which an answer can be wrong.
const (
	Empty = "empty" // also NXDOMAIN: to a client it is the same
	Error = "error"
	Fewer = "fewer"
	Other = "other" // somebody who is no member, or who is there twice
	Late  = "late"
)

// judge returns in which way an answer is wrong, or nothing, and what it says.
func (t *Truth) judge(m *dns.Msg, err error) (kind, got string) {
	switch {
	case err != nil:
		return Late, err.Error()
	case m.Rcode == dns.RcodeNameError:
		return Empty, dns.RcodeToString[m.Rcode]
	case m.Rcode != dns.RcodeSuccess:
		return Error, dns.RcodeToString[m.Rcode]
	}
	values := Values(m)
	return t.kind(values), brief(values)
}

// kind returns in which way values are wrong, or nothing.
func (t *Truth) kind(values []string) string {
	missing := func(v string) bool { return !slices.Contains(values, v) }
	strange := func(v string) bool { return !slices.Contains(t.ever, v) }
	different := len(slices.Compact(slices.Sorted(slices.Values(values))))
	switch {
	case len(values) == 0:
		return Empty
	case different < t.least, slices.ContainsFunc(t.always, missing):
		return Fewer
	case different < len(values), !t.any && slices.ContainsFunc(values, strange):
		return Other
	}
	return ""
}

func (t *Truth) String() string {
	if len(t.always) == len(t.ever) && !t.any {
		return brief(t.always)
	}
	return fmt.Sprintf("%d or more of %s, among them %s", t.least, brief(t.ever), brief(t.always))
}

// Same returns the difference between two sets as an error.
func Same(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %s, want %s", what, brief(got), brief(want))
}

func brief(values []string) string {
	const most = 12
	if len(values) > most {
		return fmt.Sprintf("%d values from %q to %q", len(values), values[0], values[len(values)-1])
	}
	return fmt.Sprintf("%q", values)
}
