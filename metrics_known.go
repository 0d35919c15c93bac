package longnames

import "sync"

// membersKnown is no sum as the other gauges are: a zone is known if all of its blocks are.
var membersKnown = gauge("members_known", "1 if the members are known, be it from before the start, and 0 if those of a block are not.")

// unsynced counts the blocks of each zone that do not know their members.
var unsynced = struct {
	sync.Mutex
	of map[string]int
}{of: make(map[string]int)}

// countUnsynced counts blocks of a zone in or out.
func countUnsynced(zone string, delta int) {
	unsynced.Lock()
	defer unsynced.Unlock()
	if unsynced.of[zone] += delta; unsynced.of[zone] > 0 {
		membersKnown.WithLabelValues(zone).Set(0)
		return
	}
	delete(unsynced.of, zone)
	membersKnown.WithLabelValues(zone).Set(1)
}
