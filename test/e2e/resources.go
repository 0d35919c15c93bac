package main

import "strings"

// resources are what CoreDNS looks up. The README prints the rule for slices and tells how the one for pods differs.
type resources string

const (
	endpointSlices resources = "endpointslices"
	pods           resources = "pods"
)

// lookup is what a Corefile calls it.
func (r resources) lookup() string {
	if r == pods {
		return "pods"
	}
	return "endpoints"
}

// group is the API group.
func (r resources) group() string {
	if r == pods {
		return ""
	}
	return "discovery.k8s.io"
}

// full is what a message calls them: with their group.
func (r resources) full() string { return strings.TrimSuffix(string(r)+"."+r.group(), ".") }
