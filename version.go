package longnames

import "github.com/coredns/coredns/coremain"

// Version is the version of the plugin. A build sets it.
var Version = "devel"

// userAgent is how the API server knows us, in its audit log for example.
func userAgent() string {
	return pluginName + "/" + Version + " CoreDNS/" + coremain.CoreVersion
}
