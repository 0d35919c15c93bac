package kubeapi

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// origin tells, part by part, what a snapshot is of. What is of another origin is about
// other members.
type origin map[string]string

func (c *Config) origin(server string, namespaces []string) origin {
	return origin{
		"server":     withoutPassword(server),
		"lookup":     string(c.Lookup),
		"namespaces": words(namespaces),
		"selector":   canonicalSelector(c.Selector),
		"labels":     words(c.Labels),
		"family":     string(c.Family),
	}
}

// authorityPart is the only part that may differ: a CA is replaced by way of a bundle of the
// old and the new one.
const authorityPart = "authority"

// check tells in what another origin is not the same.
func (o origin) check(other origin) error {
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

// words joins what is the same in any order.
func words(set []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(set))), " ")
}

// canonicalSelector is the same for selectors that differ in blanks and order only.
func canonicalSelector(text string) string {
	selector, err := labels.Parse(text)
	if err != nil {
		return text // has been checked before
	}
	return selector.String()
}

// withoutPassword is for what is written and logged.
func withoutPassword(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.User == nil {
		return server
	}
	u.User = nil
	return u.String()
}
