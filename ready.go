package longnames

import "sync"

// instances are the blocks of a whole process. The ready plugin knows only one plugin of
// each name, so that each has to answer for all.
type instances struct {
	mu     sync.Mutex // protects following
	blocks []*block
}

func (i *instances) add(blocks []*block) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.blocks = append(i.blocks, blocks...)
}

// Ready implements ready.Readiness: it is true once the members of every block in the
// process are known, and stays so.
func (l *Longnames) Ready() bool {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	for _, b := range l.all.blocks {
		if !b.table.synced.Load() {
			return false
		}
	}
	return true
}
