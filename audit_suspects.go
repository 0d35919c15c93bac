package longnames

import (
	"fmt"
	"strings"
	"time"
)

// namesLogged is how many suspects of a cluster a line of the log names.
const namesLogged = 10

// suspicion logs which suspects a cluster has got, and which it has no longer.
func (a *audit) suspicion(s state, before []*suspect) {
	if len(before)+len(s.roster.suspects) == 0 {
		return
	}
	log, cluster := zoneLog{a.config.name()}, a.config.first().absolute(s.cluster.name)
	was, is := make(map[string]reason), make(map[string]reason)
	for _, b := range before {
		was[b.text] = b.reason
	}
	var fresh [reasons][]string
	for _, now := range s.roster.suspects {
		is[now.text] = now.reason
		if why, ok := was[now.text]; !ok || why != now.reason {
			fresh[now.reason] = append(fresh[now.reason], now.longname())
		}
	}
	for why, names := range fresh {
		if len(names) > 0 {
			log.Warningf("Cluster %s: %s: %s; %s", cluster, suspected[why], summary(names), prospect(s.due, a.config.hold))
		}
	}
	listed := make(map[string]bool)
	for _, n := range s.roster.members(a.config, s.cluster.name).listed() {
		listed[n.text] = true
	}
	var back, gone []string
	for _, b := range before {
		switch _, still := is[b.text]; {
		case still:
		case listed[b.text]:
			back = append(back, b.longname())
		default:
			gone = append(gone, b.longname())
		}
	}
	if len(back) > 0 {
		log.Infof("Cluster %s: no longer suspect: %s", cluster, summary(back))
	}
	if len(gone) > 0 {
		log.Warningf("Cluster %s: no longer members: %s", cluster, summary(gone))
	}
}

var suspected = [reasons]string{
	failing: "members fail their probes and are suspect",
	missing: "members have vanished without notice and are suspect",
	last:    "all members have ended, and the last ones stay in answers",
}

func summary(names []string) string {
	if more := len(names) - namesLogged; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesLogged], ", "), more)
	}
	return strings.Join(names, ", ")
}

// prospect says when suspects are given up.
func prospect(due time.Time, hold time.Duration) string {
	if due.IsZero() {
		return fmt.Sprintf("they stay in answers as long as few are alive, and %s more", hold)
	}
	return "they stay in answers, the next one until " + due.UTC().Format(time.TimeOnly) + " UTC unless more happens"
}
