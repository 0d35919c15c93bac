package faults

import (
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// plan says how a stage is, and which rows are tried on it, one after the other.
type plan struct {
	name     string
	replicas int    // of CoreDNS, one if it is 0
	crowd    bool   // CoreDNS watches a crowd, too
	options  string // of each longnames block
	env      string // of each CoreDNS
	rows     []row
}

const (
	// faultTime is how long a fault lasts, unless a row says otherwise.
	faultTime = 12 * time.Second
	// silence is how long it may take until it is noticed that a watch has fallen silent, with some time to do better.
	silence = 150*time.Second + 3*patience
	// hold is that of CoreDNS in the stages whose members are lost for good.
	hold = 20 * time.Second
	// announced is how long those may be answered whose end has been announced.
	announced = time.Second
)

// plans are all rows, by where they are tried. Those that take longest come first.
func plans() []plan {
	const snapshot = "snapshot " + snapshots + "/ZONE.json"
	lost := snapshot + "\nhold " + hold.String()
	unreachable := []string{"unreachable"}
	// The other end of a connection knows nothing of its end, as when a NAT gateway has lost it.
	halfOpen := func(protocol string) []row {
		return []row{{name: "half-open", struck: []string{"silent", "unreachable"},
			what: "all packets of the connection to the API server are lost for good, which nobody is told; " +
				"new ones can be made (" + protocol + ")",
			try: func(s *stage) {
				s.wire.forget()
				s.grow()
				s.seen(silence, s.allMeshes()...)
				s.shrinks()
			}}}
	}
	ending := func(s *stage) *replica { return s.newReplica("ending", false).readily() }
	return []plan{
		{name: "Stopped", rows: []row{
			{name: "api-stopped", struck: []string{"silent", "unreachable"},
				what: "the API server is stopped for two minutes: it takes connections and answers nothing",
				try: func(s *stage) {
					api := s.Part("kube-apiserver")
					api.Signal(syscall.SIGSTOP)
					time.Sleep(2 * time.Minute)
					api.Signal(syscall.SIGCONT)
					s.Ready(s)
					s.grow()
					s.shrinks()
				}},
		}},
		{name: "Older", rows: []row{
			{name: "etcd-goes-back", struck: unreachable,
				what: "etcd is killed, and restored from a copy that is older, without its versions being raised",
				try:  func(s *stage) { s.restored(false) }},
		}},
		{name: "HTTP1", env: "DISABLE_HTTP2=1", rows: halfOpen("HTTP/1.1")},
		{name: "Lost", options: lost, rows: lostRows(false)},
		{name: "LostAndRolled", replicas: 2, options: lost, rows: lostRows(true)},
		{name: "Answers", rows: []row{
			{name: "429", struck: []string{"throttled"},
				what: "the API server answers 429 to everything, and ends all watches",
				try:  func(s *stage) { s.refuses(http.StatusTooManyRequests) }},
			{name: "500", struck: []string{"server"},
				what: "the API server answers 500 to everything, and ends all watches",
				try:  func(s *stage) { s.refuses(http.StatusInternalServerError) }},
			{name: "403", struck: []string{"forbidden"},
				what: "CoreDNS loses its role, and gets it back",
				try: func(s *stage) {
					s.through(func() {
						s.Kubectl(s, "delete", "clusterrolebinding,clusterrole", "coredns")
						s.refused("Forbidden")
					}, s.authorize)
				}},
			{name: "401", struck: []string{"unauthorized"},
				what: "CoreDNS' token is revoked with its service account, and a new one is written",
				try: func(s *stage) {
					s.through(func() {
						s.Kubectl(s, "delete", "serviceaccount", "coredns", "--namespace", ourNamespace)
						s.refused("Unauthorized")
					}, func() { s.Account(s, ourNamespace, "coredns", s.account) })
				}},
		}},
		{name: "Store", rows: []row{
			{name: "etcd-restored", struck: unreachable,
				what: "etcd is killed, and restored from a copy that is older, its versions being raised as they should be",
				try:  func(s *stage) { s.restored(true) }},
			{name: "etcd-wiped", struck: unreachable,
				what: "etcd is killed and restored empty; all objects are made anew some time later: nobody is missing",
				try:  (*stage).wiped},
		}},
		{name: "CoreDNS", rows: []row{
			{name: "reloads",
				what:  "the Corefile is reloaded 100 times; every other time that fails",
				apart: true, try: func(s *stage) {
					r := s.replicas[0]
					before, err := r.metric("go_goroutines", "")
					require.NoError(s, err)
					r.reloadOften()
					r.gauge("go_goroutines", "", 0, int(before)+50)
				}},
			{name: "sigterm",
				what:  "CoreDNS is told to end: all that it answers until it has ended is right",
				extra: ending, excused: untilEnd, try: ends},
			{name: "sigterm-api-hangs",
				what:  "the same while the API server hangs",
				extra: ending, excused: untilEnd, try: func(s *stage) {
					s.wire.toxic("latency", map[string]int{"latency": int(time.Hour.Milliseconds())})
					ends(s)
					s.wire.heal()
					s.wire.cut()
				}},
			{name: "cold-start",
				what: "CoreDNS starts without a snapshot while the API server is away: SERVFAIL until it comes, and never an empty answer",
				extra: func(s *stage) *replica {
					s.wire.down()
					return s.newReplica("cold", false).launch()
				}, excused: untilKnown, try: func(s *stage) {
					time.Sleep(faultTime)
					_, err := s.extra.ready()
					require.Error(s, err, "nothing is known yet")
					s.wire.up()
				}},
		}},
		{name: "Wire", rows: []row{
			{name: "connection-cut", struck: unreachable, try: func(s *stage) { s.through(s.wire.down, s.wire.up) },
				what: "connections to the API server are cut, and new ones too"},
			{name: "api-slow", struck: []string{"unreachable", "closed"},
				what: "all that goes to or comes from the API server takes 5 s longer, also new connections",
				try: func(s *stage) {
					s.through(func() {
						s.wire.toxic("latency", map[string]int{"latency": 5000})
						s.wire.cut()
					}, s.wire.heal)
				}},
			{name: "api-trickles", struck: []string{"unreachable", "closed"},
				what: "1 KB a second is all that comes through, also on new connections",
				try: func(s *stage) {
					s.through(func() {
						s.wire.toxic("bandwidth", map[string]int{"rate": 1})
						s.wire.cut()
					}, s.wire.heal)
				}},
			{name: "packets-lost", try: func(s *stage) { s.through(s.wire.lose, s.wire.found) },
				what: "all packets between CoreDNS and the API server are lost, and then come through again"},
		}},
		{name: "API", rows: []row{
			{name: "api-killed", struck: unreachable,
				what: "the API server is killed, and started again",
				try: func(s *stage) {
					s.away()
					time.Sleep(faultTime)
					s.back()
					s.grow()
					s.shrinks()
				}},
			// It is put off, not cut off: after that it would not go on from any version.
			{name: "410", struck: []string{"expired"},
				what: "what CoreDNS has seen last is compacted away while it is put off, so that it has to read everything again",
				try: func(s *stage) {
					i := s.newIntercept()
					i.refuse(http.StatusTooManyRequests)
					s.grow()
					s.compact()
					s.away()
					s.back()
					time.Sleep(faultTime / 2)
					i.refuse(0)
					s.shrinks()
				}},
		}},
		{name: "Relist", crowd: true, rows: []row{
			{name: "relist-20000-pods", struck: unreachable,
				what: "CoreDNS has to read 20 000 pods again, three times",
				try: func(s *stage) {
					crowded := func(least int) {
						s.replicas[0].gauge("coredns_longnames_members", fmt.Sprintf("zone=%q", crowd.zone+"."), least, crowdSize)
					}
					s.CreateNamespace(s, crowd.namespace)
					s.plant(crowdSize, crowdPod)
					crowded(crowdSize / 2) // many have the same version, of which a watch that breaks off meanwhile may miss some
					for range 3 {
						s.wire.down()
						s.compact()
						s.away()
						s.back()
						s.grow()
						s.wire.up()
						s.seen(4*patience, s.allMeshes()...)
						crowded(crowdSize)
						s.shrinks()
					}
				}},
		}},
		{name: "Members", rows: []row{
			{name: "all-probes-fail", what: "all members stop being ready at once", try: func(s *stage) {
				s.ready("-----")
				time.Sleep(faultTime)
				s.ready("+++++")
			}},
			{name: "probes-one-by-one",
				what: "two members stop being ready at once, the others one after the other; " +
					"some get ready again, and stop once more; then all do one by one",
				try: func(s *stage) {
					s.ready("--+++")
					s.suspects("failing", 4) // the third cluster lists everybody always
					s.ready("---++", "----+", "-----")
					s.suspects("failing", 0) // nobody passes
					time.Sleep(faultTime)
					s.ready("--+--", "+-++-", "-----")
					time.Sleep(faultTime)
					s.ready("--+--", "--++-", "+-++-", "+-+++")
					s.suspects("failing", 2)
					s.ready("+++++")
					s.suspects("failing", 0)
				}},
			{name: "probes-include-all",
				what: "all members stop being ready one after the other, and get ready again, with `include all`",
				try: func(s *stage) {
					s.replicas[0].reload(true, "include all", "", "")
					s.ready("-++++", "--+++", "---++", "----+", "-----", "+----", "++---", "+++--", "++++-", "+++++")
					s.replicas[0].reload(true, "", "", "")
				}},
			{name: "all-recreated",
				what: "all members of a cluster are deleted, the last of which stays, and others come some time later",
				try: func(s *stage) {
					m := s.meshes[0]
					old, fresh := m.pods, make([]corev1.Pod, meshSize)
					for i := range fresh {
						fresh[i] = m.pod(s.address(), "fresh-")
					}
					s.change(m, fresh, 1)
					s.remove(old...)
					s.suspects("last", 1)
					time.Sleep(faultTime)
					cluster.Many(s, 0, meshSize, func(i int) { s.create(m, fresh[i]) })
					s.suspects("last", 0)
				}},
			{name: "rolling-update", what: "every member is replaced, one after the other", try: func(s *stage) {
				for i := range meshSize {
					for _, m := range s.meshes {
						s.replace(m, i)
					}
				}
			}},
		}},
		{name: "HTTP2", rows: halfOpen("HTTP/2")},
		{name: "Clock", rows: []row{
			{name: "clock-set",
				what:  "the clock is set two hours forward, and then back, an hour at a time",
				extra: (*stage).newClocked, try: func(s *stage) {
					for _, hours := range []int{2, 1, 0} { // not before the certificates are valid
						s.setClock(hours)
						s.grow()
						time.Sleep(faultTime / 3)
						s.wire.cut()
						time.Sleep(faultTime / 3)
						s.shrinks()
					}
				}},
		}},
		{name: "Pair", replicas: 2, options: snapshot, rows: []row{
			{name: "one-of-two-restarted",
				what:     "two CoreDNS are restarted in turn, by SIGTERM and by SIGKILL, while nodes can ask either",
				restarts: true, try: func(s *stage) {
					s.roll(10*time.Second, (*replica).readily)
					s.roll(0, (*replica).readily)
				}},
			{name: "coredns-killed",
				what:     "two CoreDNS are killed and started again in turn while the API server is away, and have snapshots",
				restarts: true, try: func(s *stage) {
					s.wire.down()
					s.roll(0, (*replica).launch)
					time.Sleep(faultTime)
					s.wire.up()
					s.grow()
					s.shrinks()
				}},
		}},
	}
}
