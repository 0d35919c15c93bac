package longnames

// event is one for the log.
type event struct {
	happened happening
	cluster  *cluster
	roster   *roster // which it is about
}

// happening is what can happen to a cluster that is held or doubted.
type happening uint8

const (
	begun happening = iota
	returned
	givenUp
	someFail
	someSucceed
	allSucceed
	someStillFail
)

// holdLog is how many events of one step get a line each.
const holdLog = 10

// tell logs events.
func (t *table) tell(events []event) {
	c := t.config
	log := zoneLog{c.name()}
	for i, e := range events {
		if i == holdLog {
			log.Warningf("And %d more clusters", len(events)-i)
			return
		}
		name, members := c.first().absolute(e.cluster.name), listed(e.roster.members(c, e.cluster.name).nodes)
		switch e.happened {
		case begun:
			log.Warningf("Cluster %s has no members left, by accident or on purpose: the last ones (%d) stay in answers for %s, unless others come",
				name, members, c.hold)
		case returned:
			log.Infof("Cluster %s has members again (%d)", name, members)
		case givenUp:
			log.Warningf("Cluster %s has got no members again: the last ones (%d) are given up", name, members)
		case someFail:
			log.Warningf("Cluster %s has members whose probes fail together: all (%d) stay in answers until these succeed, or nothing gets better or worse for %s",
				name, members, c.hold)
		case someSucceed:
			log.Debugf("Cluster %s has first members whose probes succeed: all (%d) stay in answers until the others do, too, or no more do for %s",
				name, members, c.hold)
		case allSucceed:
			log.Infof("Cluster %s has no members any more whose probes fail (%d)", name, members)
		case someStillFail:
			log.Warningf("Cluster %s has members whose probes still fail: only the others (%d) stay in answers", name, members)
		}
	}
}
