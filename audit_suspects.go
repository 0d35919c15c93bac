package longnames

import (
	"fmt"
	"github.com/longnames/longnames/membership"
	"strings"
	"time"
)

// namesLogged is how many suspects of a cluster a line of the log names.
const namesLogged = 10

// suspicion logs which suspects a cluster has got, and which it has no longer.
func (a *audit) suspicion(s state, before []*membership.Suspect) {
	if len(before)+len(s.roster.Suspects) == 0 {
		return
	}
	log, cluster := zoneLog{a.config.name()}, a.config.first().absolute(s.view.name)
	was, is := make(map[string]membership.Reason), make(map[string]membership.Reason)
	for _, b := range before {
		was[b.Longname()] = b.Reason
	}
	var fresh [membership.Reasons][]string
	for _, now := range s.roster.Suspects {
		is[now.Longname()] = now.Reason
		if why, ok := was[now.Longname()]; !ok || why != now.Reason {
			fresh[now.Reason] = append(fresh[now.Reason], now.Longname())
		}
	}
	for why, names := range fresh {
		if len(names) > 0 {
			log.Warningf("Cluster %s: %s: %s; %s", cluster, suspected[why], summary(names), prospect(s.due, a.config.rules.Hold))
		}
	}
	listed := make(map[string]bool)
	for _, n := range s.roster.members(a.config, s.view.name).listed() {
		listed[n.Longname()] = true
	}
	var back, gone []string
	for _, b := range before {
		switch _, still := is[b.Longname()]; {
		case still:
		case listed[b.Longname()]:
			back = append(back, b.Longname())
		default:
			gone = append(gone, b.Longname())
		}
	}
	if len(back) > 0 {
		log.Infof("Cluster %s: no longer suspect: %s", cluster, summary(back))
	}
	if len(gone) > 0 {
		log.Warningf("Cluster %s: no longer members: %s", cluster, summary(gone))
	}
}

var suspected = [membership.Reasons]string{
	membership.Failing: "members fail their probes and are suspect",
	membership.Missing: "members have vanished without notice and are suspect",
	membership.Last:    "all members have ended, and the last ones stay in answers",
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
