package longnames

// ledger knows who bears which longname of a cluster that has suspects, so that an edit need not name
// all of them. It is for the table only.
type ledger struct {
	nobody   bool // passes include, so that all that do not end are alive
	bearers  map[string]bearers
	alive    int // longnames
	suspects map[string]*suspect
}

// bearers count the candidates of one longname.
type bearers struct {
	alive int32
	there int32 // neither alive nor about to end
}

// newLedger is of the cluster that has a roster.
func (c *config) newLedger(r *roster) *ledger {
	nodes, _ := c.named(r.objects, c.knownByIPv4(r.objects, r.suspects))
	l := &ledger{nobody: !passesAny(nodes, nil), bearers: make(map[string]bearers, len(nodes)), suspects: make(map[string]*suspect)}
	for i := range nodes {
		l.add(&nodes[i], +1)
	}
	for _, s := range r.suspects {
		l.suspects[s.text] = s
	}
	return l
}

// add counts a candidate in or out, and reports whether it is alive.
func (l *ledger) add(n *node, delta int32) bool {
	b := l.bearers[n.text]
	was := b.alive > 0
	alive := n.listed || l.nobody && !n.ends
	switch {
	case alive:
		b.alive += delta
	case !n.ends:
		b.there += delta
	}
	switch is := b.alive > 0; {
	case is && !was:
		l.alive++
	case was && !is:
		l.alive--
	}
	if b == (bearers{}) {
		delete(l.bearers, n.text)
	} else {
		l.bearers[n.text] = b
	}
	return alive
}

// passesAny reports whether include lets any of some candidates in.
func passesAny(nodes []node, _ []leftOut) bool {
	for i := range nodes {
		if nodes[i].listed {
			return true
		}
	}
	return false
}
