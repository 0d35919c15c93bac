package kubeapi

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Origin describes, part by part, what a source reads. Objects of another origin are about
// other members.
type Origin map[string]string

func newOrigin(c *Config, server string, namespaces []string) Origin {
	return Origin{
		"server":     withoutPassword(server),
		"lookup":     string(c.Lookup),
		"namespaces": words(namespaces),
		"selector":   canonicalSelector(c.Selector),
		"labels":     words(c.Labels),
		"family":     string(c.Family),
	}
}

// SameServer reports whether other reads the same kind of objects from the same API server, whatever it selects there.
func (o Origin) SameServer(other Origin) bool {
	return o["server"] == other["server"] && o["lookup"] == other["lookup"]
}

// authorityPart is the only part that may differ: a CA is replaced by way of a bundle of the
// old and the new one.
const authorityPart = "authority"

// Check returns an error that names the first part in which other is not the same.
func (o Origin) Check(other Origin) error {
	parts := maps.Clone(o)
	maps.Copy(parts, other)
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if other[part] != o[part] && (part != authorityPart || !shareWord(other[part], o[part])) {
			return fmt.Errorf("it is of another configuration: expected %s %q, got %q", part, o[part], other[part])
		}
	}
	return nil
}

// shareWord reports whether two sets have something in common.
func shareWord(a, b string) bool {
	in := strings.Fields(b)
	return slices.ContainsFunc(strings.Fields(a), func(word string) bool { return slices.Contains(in, word) })
}

// words returns a text that is the same for a set in any order.
func words(set []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(set))), " ")
}

// canonicalSelector returns a text that is the same for selectors that differ in blanks and order only.
func canonicalSelector(text string) string {
	selector, err := labels.Parse(text)
	if err != nil {
		return text // has been checked before
	}
	return selector.String()
}

// withoutPassword returns a URL that may be written and logged.
func withoutPassword(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.User == nil {
		return server
	}
	u.User = nil
	return u.String()
}
