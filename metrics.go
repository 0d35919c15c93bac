package longnames

import (
	"sync"

	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	listedMembers = gauge("members", "Members that are listed.")

	nonEmptyClusters = gauge("clusters", "Clusters that have members.")

	clusterFalls = counter("cluster_falls_total", "Clusters that came to list fewer than half of the members that they had listed lately.", "zone")

	suspectMembers = gauge("suspect_members", "Members that are listed though their probes fail (failing), they vanished without notice (missing), or nobody else is left (last).", "reason")

	suspectsEnded = counter("suspects_ended_total", "Members that ceased to be suspect: they are alive (returned), their end was announced or another has their name (left), their time was up (given_up), or there were too many (dropped).", "zone", "end")

	truncatedClusters = gauge("truncated_clusters", "Clusters whose SRV records no DNS message can hold.")

	leftOutMembers = gauge("left_out_members", "Candidates that are not served since no longname can be made for them.", "reason")

	defaultPorts = gauge("members_without_port", "Members that do not declare the port that SRV records are configured to give.")

	staleAnswers = counter("stale_answers_total", "Answers from the members that were last known, before they have been read.", "server", "zone")
)

// zoned is a metric that has a zone.
type zoned interface {
	DeletePartialMatch(labels prometheus.Labels) int
}

// ofZones are all of them.
var ofZones []zoned

// ofZone adds one.
func ofZone[M zoned](m M) M {
	ofZones = append(ofZones, m)
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return ofZone(promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      name,
		Help:      help,
	}, append([]string{"zone"}, labels...)))
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return ofZone(promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      name,
		Help:      help,
	}, labels))
}

// histogram has classic buckets, up to the greatest value that is observed, and native ones.
func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return ofZone(promauto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace:                   plugin.Namespace,
		Subsystem:                   pluginName,
		Name:                        name,
		Help:                        help,
		Buckets:                     buckets,
		NativeHistogramBucketFactor: plugin.NativeHistogramBucketFactor,
	}, labels))
}

// users counts the blocks at work that are called by a zone.
var users = struct {
	sync.Mutex
	of map[string]int
}{of: make(map[string]int)}

// useMetrics keeps the metrics of a zone until the function that it returns is called. They are
// removed with the last block: a reload does not interrupt them, and what is not configured
// any more does not alert for ever. First is true if nobody else uses them yet.
func useMetrics(zone string) (first bool, end func()) {
	users.Lock()
	defer users.Unlock()
	users.of[zone]++
	return users.of[zone] == 1, sync.OnceFunc(func() {
		users.Lock()
		defer users.Unlock()
		if users.of[zone]--; users.of[zone] > 0 {
			return
		}
		delete(users.of, zone)
		for _, m := range ofZones {
			m.DeletePartialMatch(prometheus.Labels{"zone": zone})
		}
	})
}

// withMetrics does something with the metrics of a zone, unless they have been removed: those of
// a late question would stay for ever.
func withMetrics(zone string, do func()) {
	users.Lock()
	defer users.Unlock()
	if users.of[zone] > 0 {
		do()
	}
}
