package longnames

import (
	"slices"
	"strings"
	"time"
)

// A question gets SERVFAIL unless its members are known. The members of a zone are known once those of
// all its blocks are; with group_by, those of a namespace once it has been read.

// knowledge says how far answers can be relied on.
type knowledge uint8

const (
	fresh   knowledge = iota // the members are known as they are
	stale                    // they are those last known before the start
	nobody                   // there were no members before the start
	nothing                  // nothing is known
)

// knowledgeOf returns how far the members in the namespace of a name are known; without a namespace, those of all
// clusters except in namespaces that may not be read.
func (t *table) knowledgeOf(name, namespace string) knowledge {
	reads, synced := slices.Contains(t.config.source.Namespaces, namespace), t.synced.Load()
	switch unread := t.unread.Load(); {
	case namespace == "" || !reads && t.config.mayHave(name):
	case !reads:
		return fresh // it has no members there
	case unread != nil:
		_, isUnread := (*unread)[namespace]
		synced = !isUnread
	}
	switch {
	case synced:
		return fresh
	case t.restored.Load():
		return stale
	case t.hadNobody.Load():
		return nobody
	}
	return nothing
}

// unreadNamespaces returns the namespaces of which nothing has been read yet, and since when each may not be read.
func (t *table) unreadNamespaces() map[string]time.Time {
	if unread := t.unread.Load(); unread != nil {
		return *unread
	}
	return nil
}

// forbiddenLong is how long the API server has to forbid a namespace until that is no reason to wait for it.
const forbiddenLong = time.Minute

// isReady reports whether questions get answers: only namespaces that may not be read, for a while already, are not
// known.
func (t *table) isReady(now time.Time) bool {
	if t.restored.Load() {
		return true
	}
	for _, forbidden := range t.unreadNamespaces() {
		if forbidden.IsZero() || now.Sub(forbidden) < forbiddenLong {
			return false
		}
	}
	return t.synced.Load()
}

// knowsAllNamespaces reports whether the members of all namespaces are known, even if from before the start.
func (t *table) knowsAllNamespaces() bool {
	return t.restored.Load() || t.synced.Load() && len(t.unreadNamespaces()) == 0
}

// isComplete reports whether all that there is, or was at some time, is known.
func (t *table) isComplete() bool { return t.synced.Load() || t.complete.Load() }

// known reports whether there is anything to answer from, even if it is out of date.
func (t *table) known() bool { return t.synced.Load() || t.restored.Load() }

// isSynced reports whether all blocks know all that there was at the start.
func (r *resolver) isSynced() bool {
	return !r.anyTable(func(t *table) bool { return !t.synced.Load() })
}

// knowsAllNamespaces reports whether the members of all blocks are known, even if from before the start.
func (r *resolver) knowsAllNamespaces() bool {
	return !r.anyTable(func(t *table) bool { return !t.knowsAllNamespaces() })
}

// knows reports whether the members that a question is about are known, and whether some are those last known before
// the start. A block that had none then counts as known only beside others.
func (r *resolver) knows(z *zone, q *question) (isKnown, isStale bool) {
	namespace := r.namespaceOf(z, q)
	var count [nothing + 1]int
	for _, t := range r.tables {
		count[t.knowledgeOf(q.name, namespace)]++
	}
	return count[nothing] == 0 && count[nobody] < len(r.tables), count[stale]+count[nobody] > 0
}

// namespaceOf returns the namespace that a name lies in, if it lies in that of a group.
func (r *resolver) namespaceOf(z *zone, q *question) string {
	if !r.grouped || z.reverse {
		return ""
	}
	relative := z.relative(q.name)
	return relative[strings.LastIndexByte(relative, '.')+1:]
}
