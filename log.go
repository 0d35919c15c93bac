package longnames

import (
	"github.com/coredns/coredns/coremain"
	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/longnames/longnames/kubeapi"
)

const pluginName = "longnames"

var log = clog.NewWithPlugin(pluginName)

// zoneLog says of which block a message is.
type zoneLog struct{ zone string }

var _ kubeapi.Logger = zoneLog{}

func (l zoneLog) with(v []any) []any { return append([]any{l.zone}, v...) }

// Debugf implements kubeapi.Logger.
func (l zoneLog) Debugf(format string, v ...any) { log.Debugf("%s "+format, l.with(v)...) }

// Infof implements kubeapi.Logger.
func (l zoneLog) Infof(format string, v ...any) { log.Infof("%s "+format, l.with(v)...) }

// Warningf implements kubeapi.Logger.
func (l zoneLog) Warningf(format string, v ...any) { log.Warningf("%s "+format, l.with(v)...) }

// Errorf implements kubeapi.Logger.
func (l zoneLog) Errorf(format string, v ...any) { log.Errorf("%s "+format, l.with(v)...) }

// Version is the version of the plugin. A build sets it.
var Version = "devel"

// userAgent is how the API server knows us, in its audit log for example.
func userAgent() string {
	return pluginName + "/" + Version + " CoreDNS/" + coremain.CoreVersion
}
