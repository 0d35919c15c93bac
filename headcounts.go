package longnames

import "github.com/longnames/longnames/kubeapi"

// headcounts count the members of a cluster, as objects tell of them.
type headcounts struct {
	four, six int32
	// Those that include lets in: with an IPv4 address and what makes a longname, with an IPv6 one and
	// that, and without what makes a longname.
	fourPass, sixPass, namelessPass int32
}

// count keeps the headcounts of a cluster.
func (c *config) count(home *cluster, objects []*kubeapi.Object, delta int32) {
	h := &home.counts
	for _, o := range objects {
		for i := range o.Members {
			m := &o.Members[i]
			all, passing := &h.six, &h.sixPass
			if m.Address.Is4() {
				all, passing = &h.four, &h.fourPass
			}
			*all += delta
			switch {
			case !c.include.passes(m):
			case c.naming.problemOf(o, m) == noProblem:
				*passing += delta
			default:
				h.namelessPass += delta
			}
		}
	}
}

// passes reports whether any candidate passes include, and whether the headcounts can tell: an IPv6
// address says nothing of one that is known by an IPv4 one, which may be a suspect's, and one that has
// no longname by an object may have it by another.
func (h *headcounts) passes(suspects []*suspect) (any, sure bool) {
	switch {
	case h.fourPass > 0:
		return true, true
	case h.sixPass > 0 && h.four == 0 && len(suspects) == 0:
		return true, true
	}
	return false, h.sixPass+h.namelessPass == 0
}
