package longnames

import (
	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	leftOutMembers = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "left_out_members",
		Help:      "Candidates that are not served since no longname can be made for them.",
	}, []string{"zone", "reason"})

	defaultPorts = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "members_without_port",
		Help:      "Members that do not declare the port that SRV records are configured to give.",
	}, []string{"zone"})
)
